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
#include "oci/reference.h"
#include "util/list.h"
#include "util/map.h"
#include "util/vec.h"

struct builds;
struct catalogue;
struct spans;

#define CONTENT_AHEAD_BLOBS 16

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
	/* Of which something is fetched ahead, though nobody may have them open
	 * any more; the newest ones; likewise. */
	struct blob *ahead[CONTENT_AHEAD_BLOBS];
	size_t ahead_next; /* likewise */

	pthread_mutex_t docs_lock;
	struct map *docs;	    /* digest -> doc; protected by docs_lock */
	struct list_node docs_used; /* least recently used first; likewise */
	size_t docs_bytes;	    /* likewise */
};

/* A tag that was put or removed through this mount: what was asked before may
 * be answered later, and registries may take a while until they list it. */
struct tag_change {
	char tag[REFERENCE_TAG_MAX + 1];
	bool gone;
	uint64_t epoch;	   /* repo->tag_epoch from then on */
	uint64_t until_ms; /* from then on the list is right */
};

struct repo {
	struct content *content;
	struct registry *registry;
	char *host, *name;
	char *key;	      /* in content->repos */
	unsigned refs;	      /* protected by content->lock */
	pthread_mutex_t lock; /* taken before the database's */
	struct listing *tags; /* newest; protected by lock, like all below */
	bool seen;	      /* recorded in the store */
	uint64_t tag_epoch;   /* grows whenever a tag is changed from here */
	uint64_t known_epoch; /* later changes are all in `changes` */
	uint64_t referrers_epoch;	/* likewise what refers to a manifest */
	VEC(struct tag_change) changes; /* by epoch */
	struct {
		char tag[REFERENCE_TAG_MAX + 1];
		uint64_t epoch, at_ms;
	} absent; /* the last tag that the registry said is not there */
};

/* Was the tag, or what it means, changed from here after that epoch?  The
 * repository's lock is held. */
bool repo_tag_changed(const struct repo *r, const char *tag, uint64_t epoch);
/* What a listing must show or hide, that the registry may not know yet.  The
 * caller frees both; no lock is held. */
int repo_tag_changes(struct repo *r, struct string_list *ret_put,
		     struct string_list *ret_gone);
/* The host's catalogue, if it is at hand, has this repository. */
void catalogue_learn(struct content *c, const char *host, const char *path);
/* The registry has shown that this repository is there. */
void repo_mark_seen(struct repo *r);
/* Whose eyes we see it with; also the key of grants. */
int repo_identity(struct repo *r, char out[17]);
void content_fault(struct content *c, const char *host, const char *object,
		   int error, const char *text);
/* Frees the catalogues; docs.c's share of the end. */
void catalogue_forget_all(struct content *c);
void doc_forget_all(struct content *c);
