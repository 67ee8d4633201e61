/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A registry host, a repository, or the way to one: directories follow the
 * repository path.  Any path of valid grammar can be entered without asking;
 * whether it exists is found out when it is listed.
 */
#include "fs/node.h"

/* `path` "" is the host itself. */
int dir_repo_new(struct node *parent, const char *name, const char *host,
		 const char *path, struct node **ret);
