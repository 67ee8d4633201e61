/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files of uploads share.  A sending is the work, an upload is one
 * party's ticket on it, with a source of its own:
 *
 *   QUEUED --a worker takes it--> RUNNING --> DONE (result)
 *      ^ cancelled: DONE at once      ^ cancelled: as soon as it has noticed
 *
 * Invariants: a sending that can be joined is in `open` under its key, one for
 * each key; cancelled ones are not.  Begun ahead, done well and not asked for
 * since, it stays there a while (`kept`), and the next who asks has his answer.
 * A ticket is on its sending's list while somebody holds it, or (ahead) until
 * the sending is done.  All of this is under one lock, which is never held
 * while waiting for the network, reading, hashing, or closing files.
 */
#include <pthread.h>

#include "content/repo.h"
#include "push/outbox_private.h"
#include "push/upload.h"
#include "util/list.h"
#include "util/vec.h"
#include "util/wait.h"

enum sending_state { SENDING_QUEUED, SENDING_RUNNING, SENDING_DONE };

struct sending {
	struct list_node node; /* on wanted, ahead, running or kept */
	struct uploads *uploads;
	struct repo *repo;
	struct digest digest;
	char *key;
	unsigned refs; /* one until it has ended or was kept, one a ticket */
	enum sending_state state;
	bool claimed; /* somebody asked for it who was not just ahead */
	bool cancelled;
	bool learned; /* its size, too, is on record */
	int result;
	struct list_node tickets;
	struct wait wait; /* the worker's patience */
	pthread_cond_t moved;
	uint64_t steps; /* grows with whatever moves */
	uint64_t sent, total, started_ms, done_ms;
};

struct upload {
	struct list_node node; /* on the sending's list, or a list of dead */
	struct sending *sending;
	unsigned refs; /* holders, the sending's own if ahead, the worker's */
	unsigned holders;
	struct feed *feed; /* or NULL */
	struct repo *from; /* or NULL */
	uint64_t size_bytes;
	bool ahead;
	bool tried; /* its source has failed, with: */
	int result;
};

struct upload_load {
	struct registry *registry;
	unsigned running; /* sendings to it */
	unsigned relays;  /* from it, past the cache */
};

struct uploads {
	struct outbox *outbox;
	pthread_mutex_t lock;	   /* protects all of these files */
	pthread_cond_t work, gone; /* the queue changed; a worker has ended */
	struct map *open;	   /* key -> sending */
	struct list_node wanted, ahead, running, kept;
	size_t ahead_len; /* queued ahead, and kept */
	VEC(struct upload_load) loads;
	struct list_node
		scouts; /* images whose blobs are to be begun, or were */
	size_t scouts_len;
	unsigned scouting; /* under way */
	unsigned workers, idle, running_len;
	uint64_t steps; /* of all sendings */
	bool stopping;
};

#define UPLOAD_AHEAD_MAX 1024
#define UPLOAD_KEPT_MS 60000

/* --- sending.c; the lock is held --- */

/* Owns the key if it succeeds. */
int sending_new(struct uploads *u, const struct upload_spec *spec, char *key,
		struct sending **ret);
void sending_unref(struct sending *s);
/* Ends it for everybody; what can be freed goes to `dead`. */
void sending_end(struct sending *s, int result, struct list_node *dead);
void sending_cancel(struct sending *s, struct list_node *dead);
void sending_drop_kept(struct sending *s);
bool sending_is_waited_for(const struct sending *s);
/* The ticket whose source is to be tried next; NULL: all have failed. */
struct upload *sending_choose(const struct sending *s);
/* Is this a source that may have to wait for somebody who writes? */
bool ticket_is_growing(const struct upload *t);

/* --- sending.c; the lock is not held --- */

/* To be freed. */
char *sending_key(const struct repo *r, const char *digest);
/* As the mount shows it. */
void upload_object(const struct sending *s, struct str *out);
/* It is with the registry: recorded once its size is known. */
void sending_learn(struct sending *s, uint64_t size_bytes);
/* Likewise; the size is what a document says. */
void sending_learn_claimed(struct sending *s, uint64_t size_bytes);

/* --- upload.c --- */

/* Held. */
void ticket_put(struct upload *t, struct list_node *dead);
/* Not held. */
void tickets_bury(struct list_node *dead);

/* --- upload_source.c; the lock is not held --- */

/* One attempt with the source of this ticket.  *ret_source: it was the source
 * that failed.  -EAGAIN: another ticket has a better one. */
int sending_attempt(struct sending *s, struct upload *t, bool *ret_source);

/* --- upload_worker.c; the lock is held --- */

/* Is there a connection to be had for another relay?  It is counted. */
bool upload_relay_begin(struct uploads *u, struct registry *from);
void upload_relay_end(struct uploads *u, struct registry *from);
/* Before a sending to there is queued, for no worker could say that there is no
 * memory: -ENOMEM. */
int upload_make_load(struct uploads *u, struct registry *to);
/* Sees to it that somebody takes what is queued; fails if nobody can. */
int upload_wake(struct uploads *u);
void upload_join(struct uploads *u); /* u->stopping is set */

/* --- upload_ahead.c --- */

struct scout;
/* Lock held. */
bool scout_is_queued(const struct uploads *u);
struct scout *scout_take(struct uploads *u); /* the next, or NULL */
/* Not held: does the work. */
void scout_run(struct uploads *u, struct scout *c);
/* Held: of this repository, or all.  Those under way are told to stop, the
 * others go to `dead`. */
void scouts_stop(struct uploads *u, const struct repo *to,
		 struct list_node *dead);
void scouts_bury(struct list_node *dead);
