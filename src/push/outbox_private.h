/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this folder share; nobody else includes it. */
#include <pthread.h>
#include <stdatomic.h>

#include "push/outbox.h"
#include "util/map.h"

struct drafts;
struct turns;
struct leftovers;
struct pendings;
struct uploads;

struct outbox {
	/* Constant once outbox_new has returned. */
	const struct options *options;
	struct content *content;
	struct store *store;
	struct journal *journal;
	struct option_times times;
	struct turns *turns;
	struct uploads *uploads;
	struct drafts *drafts;
	struct pendings *pendings;
	struct leftovers *leftovers;	 /* NULL before outbox_start */
	struct outbox_listener listener; /* set before anything is written */

	atomic_bool draining;
	atomic_uint writers;	  /* open and dirty */
	atomic_uint publications; /* under way */
};

/* Each owned by the file of that name; free: NULL is fine. */
int uploads_new(struct outbox *o, struct uploads **ret);
/* Cancels all, begins nothing any more, joins the workers; who waits is told.
 */
void uploads_stop(struct uploads *u);
void uploads_free(struct uploads *u); /* stops; no ticket is held any more */
bool uploads_busy(struct uploads *u);
int uploads_print(struct uploads *u, struct str *out);
struct upload_counts {
	unsigned running, queued;
	uint64_t sent_bytes; /* of those that run */
};
void uploads_count(struct uploads *u, struct upload_counts *ret);
/* The sessions that an earlier run left at registries. */
int leftovers_start(struct outbox *o, struct leftovers **ret);
void leftovers_free(struct leftovers *l);
int drafts_new(struct outbox *o, struct drafts **ret);
void drafts_free(struct drafts *d);

/* Tells the listener. */
void outbox_changed(struct outbox *o, struct repo *r, const char *name);
/* One line in `.registryfs/errors`: `object` as the mount shows it beneath the
 * host.  Returns error. */
int outbox_fault(struct outbox *o, struct repo *r, const char *object,
		 int error, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* The host of what the journal has; -EREMCHG: it was for another mirror for
 * everything than there is now. */
int outbox_host_of(struct outbox *o, const char *place, char **ret);
