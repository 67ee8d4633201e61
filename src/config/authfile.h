/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One parsed credentials file: docker's config.json, containers' auth.json, or
 * the bare map of ~/.dockercfg (registries.md C.5).  Immutable after the
 * parse.  No I/O.
 */
#include <stdbool.h>
#include <stddef.h>

#include "config/credential.h"
#include "config/stringlist.h"

#define AUTHFILE_MAX ((size_t)1 << 20)

struct authfile;

/*
 * `legacy`: the bare map.  `name` is for the log.  -EBADMSG if it is no JSON
 * or not of that shape, with the end of a sentence that reveals no content.
 */
int authfile_parse(const char *buf, size_t len, bool legacy, const char *name,
		   struct authfile **ret, const char **ret_reason);
void authfile_free(struct authfile *f);

/* What a file says; strings belong to it. */
struct authfile_match {
	const char *helper; /* to be asked for the host, or NULL */
	/* written in the file, or NULL; kind NONE: "ask the helper" */
	const struct credential *credential;
	bool is_path; /* it is for a path: nearer than what the helper knows */
	bool broken;  /* there is an entry, but it cannot be used */
};
int authfile_find(const struct authfile *f, const char *host,
		  const char *repository, struct authfile_match *ret);

int authfile_hosts(const struct authfile *f, struct string_list *ret);
/* HttpHeaders as "Name: value". */
const struct string_list *authfile_headers(const struct authfile *f);
