/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Patterns of hosts and repositories as users write them: HOST[:PORT][/PATH].
 * '*' matches any characters but '/'; a last component of two stars matches
 * everything beneath, and so does a pattern without a path.  A pattern without
 * a port means the host without a port.  Pure.
 */
#include <stdbool.h>

#define PATTERN_MAX 512

struct pattern {
	char *host;   /* lower case, ':' before a port */
	char *path;   /* "" if none */
	bool beneath; /* everything beneath path too (and not path itself) */
};

/* -EINVAL: *ret_reason says why, as the end of a sentence about it. */
int pattern_parse(const char *s, bool with_path, struct pattern *ret,
		  const char **ret_reason);
void pattern_done(struct pattern *p);

bool pattern_is_one_host(const struct pattern *p); /* no '*' in the host */
bool pattern_match_host(const struct pattern *p, const char *host);

enum pattern_fit {
	PATTERN_NO,
	PATTERN_ON_THE_WAY, /* a directory above what matches */
	PATTERN_YES,
};
enum pattern_fit pattern_match_path(const struct pattern *p,
				    const char *repository);
