/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What all registries share; registry.c and mirrored.c. */
#include <pthread.h>

#include "registry/registry.h"

struct map;

struct registries {
	struct registries_config cfg;
	struct registry *top;	     /* the mirror for everything, or NULL */
	const char *path;	     /* what is before the hosts' names there */
	pthread_mutex_t lock;	     /* protects all below */
	struct map *map;	     /* host -> struct registry */
	struct string_list mirrored; /* hosts that are there */
	uint64_t mirrored_until_ms;
};
