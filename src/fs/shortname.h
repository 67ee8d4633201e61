/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Docker Hub's short names, as symbolic links that are found and not listed:
 * a repository of one component is an official image and is in library/, and
 * the Hub's other hosts are docker.io.  docker.io/NAME itself stays what it is
 * by its name, somebody's namespace: many a namespace is called as an image.
 */
#include <stdbool.h>

#include "fs/node.h"

/* Would this repository have to be in library/? */
bool short_name(const char *host, const char *repository);
/* A link from beneath a directory of the tree; `up` leads to the host. */
int short_link_new(struct node *dir, const char *name, const char *up,
		   const char *rest, struct node *known, struct node **ret);
