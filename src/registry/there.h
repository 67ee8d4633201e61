/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a repository is called at the place where its registry really is, if
 * that is not what the tree calls it (`mirror`): requests are put into those
 * words last of all, and what answers name is put back.
 */
#include "registry/call.h"

struct there {
	struct call_spec spec;
	char *path, *repository, *scope;
};

/* The request as it is to be made; its texts live till there_done. */
int there_spec(struct registry *r, const struct call_spec *s,
	       struct there *ret);
void there_done(struct there *t);
int there_repository(const struct registry *r, const char *repository,
		     char **ret);
/* A path that an answer names, as it would be asked for: "/v2/...". */
int here_path(struct registry *r, const char *path, char **ret);
/* What is behind the prefix (NULL: there is none); NULL: it is not beneath. */
const char *here_name(const char *prefix, const char *name);
