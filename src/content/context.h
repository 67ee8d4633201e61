/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this folder share; nobody else includes it. */
#include <pthread.h>

#include "content/content.h"
#include "content/flight.h"
#include "content/gate.h"
#include "content/listing.h"
#include "content/repo.h"
#include "content/single.h"
#include "util/list.h"
#include "util/map.h"

struct builds;
struct catalogue;
struct spans;

struct content {
	const struct options *options;
	struct registries *registries;
	struct store *store;
	struct allow *allow;
	struct fault_log *faults;
	struct option_times times;
	int64_t started_wall;
	struct gate gate;
	struct single *single;
	struct flights *flights;

	pthread_mutex_t lock;
	struct map *repos; /* "host/name" -> repo, weak; protected by lock */
	struct map *catalogues; /* host -> catalogue; protected by lock */

	struct builds *builds;
	struct spans *spans;
	pthread_mutex_t layers_lock;
	struct map *layers; /* key -> layerindex, weak; protected by
			       layers_lock, like the counts of both */
	struct map *images; /* key -> unpacked, weak; likewise */

	pthread_mutex_t docs_lock;
	struct map *docs;	    /* digest -> doc; protected by docs_lock */
	struct list_node docs_used; /* least recently used first; likewise */
	size_t docs_bytes;	    /* likewise */
};

struct repo {
	struct content *content;
	struct registry *registry;
	char *host, *name;
	unsigned refs; /* protected by content->lock */
	pthread_mutex_t lock;
	struct listing *tags; /* newest; protected by lock */
	bool seen;	      /* recorded in the store; protected by lock */
};

/* The registry has shown that this repository is there. */
void repo_mark_seen(struct repo *r);
/* Whose eyes we see it with; also the key of grants. */
int repo_identity(struct repo *r, char out[17]);
void content_fault(struct content *c, const char *host, const char *object,
		   int error, const char *text);
/* Frees the catalogues; docs.c's share of the end. */
void catalogue_forget_all(struct content *c);
void doc_forget_all(struct content *c);
