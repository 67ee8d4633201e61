/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One place where credentials may be: a file, parsed when it is first asked
 * for and again whenever it changed, or the text of $DOCKER_AUTH_CONFIG.
 * Not thread safe.
 */
#include <stdbool.h>

#include "config/authfile.h"
#include "config/trustfile.h"

struct authsource {
	char *path;	  /* NULL: the environment */
	const char *name; /* of the variable then: "$CI_REGISTRY" */
	bool legacy;	  /* ~/.dockercfg */
	bool chosen;	  /* named by the user: must be there and readable */
	bool google;	  /* a key file; a bad one is said and passed over */
	const char *const *hosts; /* it is for all that match; or NULL */
	bool known; /* the rest is as `id` (or its absence) left it */
	bool absent;
	int error;
	struct trustfile_id id;
	struct authfile *file;
};

void authsource_done(struct authsource *s);
/* Every place in the order of registries.md C.5, then the vendors' variables;
 * `ret` has space for MAX. */
#define AUTHSOURCE_MAX 12
int authsource_list(const char *authfile, struct authsource *ret,
		    size_t *ret_len);
/* *ret is NULL if there is no such file; -EACCES was logged. */
int authsource_load(struct authsource *s, const struct authfile **ret);
int authsource_find(const struct authsource *s, const struct authfile *file,
		    const char *host, const char *repository,
		    struct authfile_match *ret);
/* Read again at the next load even if the file did not change. */
void authsource_forget(struct authsource *s);
