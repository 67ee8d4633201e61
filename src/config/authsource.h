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
	char *path;  /* NULL: the environment */
	bool legacy; /* ~/.dockercfg */
	bool chosen; /* named by the user: must be there and readable */
	bool known;  /* the rest is as `id` (or its absence) left it */
	bool absent;
	int error;
	struct trustfile_id id;
	struct authfile *file;
};

void authsource_done(struct authsource *s);
/* Every place in the order of registries.md C.5; `ret` has space for MAX. */
#define AUTHSOURCE_MAX 8
int authsource_list(const char *authfile, struct authsource *ret,
		    size_t *ret_len);
/* *ret is NULL if there is no such file; -EACCES was logged. */
int authsource_load(struct authsource *s, const struct authfile **ret);
/* Read again at the next load even if the file did not change. */
void authsource_forget(struct authsource *s);
