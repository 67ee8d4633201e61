/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A catalogue from inside: catalogue.c keeps the nodes and answers questions,
 * catalogue_area.c reads the lists that they come from. */
#include <stdatomic.h>

#include "content/catalogue.h"
#include "content/context.h"

struct pager;
struct registry;

struct catalogue_node {
	bool repository;
	bool folder; /* said to be one, even if nothing is in it */
	struct string_list children;
};

struct area {
	struct pager *pager; /* NULL: the host does not list it */
	bool fetching;
	bool complete;
	bool unlisted; /* filled from what was seen */
	bool partial;  /* what was seen, and what more there is */
	int broken;    /* -errno: names were lost */
};

struct catalogue {
	atomic_uint refs;
	struct content *content;
	char *host;
	struct registry *registry;
	uint64_t started_ms;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct map *nodes; /* path -> catalogue_node; protected by lock */
	struct map *areas; /* path -> area; protected by lock */
	bool stale;	   /* not to be shared; protected by lock */
};

/* "team/" is said to be a folder.  Lock held, like all below. */
int catalogue_add(struct catalogue *t, const char *name);
void area_free(void *a);
/* The length of a path's first components. */
size_t area_leading(const char *path, unsigned components);
/* What is to be read to know what lies beneath a path; made if need be. */
int area_at(struct catalogue *t, const char *path, struct area **ret);
/* One step forward: waits for a page of another, or fetches one; without the
 * lock meanwhile. */
int area_step(struct catalogue *t, struct area *a, struct wait *w);
