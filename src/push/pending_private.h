/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files of pending images share.  An entry:
 *
 *   WAITING --what was missing has arrived, or it is due--> busy
 *   busy --published, or replaced meanwhile--> gone
 *   busy --something is (still) missing--> WAITING for just that
 *   busy --refused, or not reached--> WAITING, with its error; perhaps due
 *   any --removed, or history--> superseded --its row is gone--> gone
 *
 * Invariants: a row in the journal has an entry on the list.  What is
 * superseded is not published any more; that is asked in the turn at its name,
 * and acknowledged is there, too, so what is put is never older than what is
 * known to be wanted.  One thread at a
 * time is busy with it: only that one changes its row and, after the fact, its
 * list of what is missing.  `lock` protects everything else, and is held
 * neither for the network nor for the journal.
 */
#include <pthread.h>

#include "push/outbox_private.h"
#include "push/pending.h"
#include "util/list.h"

#define PENDING_ENTRY_MAX 255 /* a file name */
#define PENDING_RETRY_MS 1000 /* doubled each time */
#define PENDING_RETRY_MAX_MS 300000

struct pending {
	struct list_node node;
	struct pendings *pendings;
	unsigned refs;
	/* Constant. */
	int64_t id; /* in the journal */
	char *host, *repository, *name, *mediatype;
	struct digest root;
	int64_t wall; /* since when */
	char *entry;  /* its name in `.registryfs/pending` */
	char *from_host, *from_repository; /* as journalled; or NULL */
	enum journal_before before;	   /* what the name meant then */
	struct digest was;

	struct repo *from; /* of the publication, or NULL; who is busy opens it
			    */
	bool busy, gone, superseded;
	bool tried; /* `missing` is what is missing */
	struct string_list missing;
	int error;	 /* of its last try, positive; 0: none, or missing */
	char *text;	 /* what goes with it; or NULL */
	uint64_t due_ms; /* when it is tried again; 0: when it is poked */
	unsigned tries;	 /* that failed in a row */
};

struct pendings {
	struct outbox *outbox;
	atomic_size_t len;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list_node list; /* oldest first */
	bool started, stopping;
	pthread_t thread;
	struct wait wait; /* of the thread's attempt */
};

/* --- pending.c --- */

/* Oldest first; what `match` says; with references.  Lock not held. */
typedef bool (*pending_match)(const struct pending *e, const void *arg);
struct pending_snapshot {
	struct pending **v;
	size_t len;
};
int pending_snapshot(struct pendings *p, pending_match match, const void *arg,
		     struct pending_snapshot *ret);
void pending_snapshot_done(struct pendings *p, struct pending_snapshot *s);
void pending_unref(struct pending *e); /* lock held */
/* Lock held.  Puts a new one on the list under a name of its own; takes over
 * e's reference. */
int pending_enlist(struct pendings *p, struct pending *e);
/* Lock held; the row is the caller's. */
void pending_delist(struct pending *e);
void pending_free(struct pending *e);
/* It is not published any more.  Takes it out of the journal, then off the
 * list; if it cannot, that is tried again later. */
int pending_remove(struct pending *e);

/* --- pending_poke.c --- */

/* The name means something else now: what was begun for it before is history.
 * For whose turn it is. */
void pending_superseded(struct outbox *o, struct repo *r, const char *name);

/* --- pending_journal.c --- */

/* A copy of what the journal has; not enlisted. */
int pending_from_image(struct pendings *p, const struct journal_image *i,
		       struct pending **ret);
int pending_load_all(struct pendings *p);
int pending_load_docs(const struct pending *e, struct publish_docs *ret);
int pending_save_docs(const struct pending *e, const struct publish_docs *docs,
		      const struct publish_docs *but);
/* A document that has arrived as a file. */
int pending_save_feed(const struct pending *e, const struct digest *d,
		      struct feed *feed);
struct pending_past {
	enum journal_before before;
	struct digest was;
};
int pending_insert(struct pendings *p, const struct publication *pub,
		   const struct pending_past *past,
		   const struct publish_docs *docs, struct pending **ret);

/* --- pending_try.c --- */

/* Becomes the one that is busy with e; 1: it is gone; or the wait's error.
 * Lock held. */
int pending_seize(struct pending *e, struct wait *w);
void pending_release(struct pending *e); /* lock held */
/* Who has it tried. */
enum pending_cause {
	PENDING_DUE,   /* nobody */
	PENDING_POKED, /* who has written something that it needs */
	PENDING_ASKED  /* who wants just this image to be published */
};
/* Publishes it if it can be.  -EAGAIN: something is missing.  0 also if it is
 * superseded. */
int pending_try(struct pending *e, struct wait *w, enum pending_cause cause);
/* When to try again what has failed so often. */
uint64_t pending_next_try(unsigned tries);

/* --- pending_thread.c --- */

int pending_thread_start(struct pendings *p);
void pending_thread_stop(struct pendings *p);
/* Lock held: the thread looks at the list again. */
void pending_make_due(struct pending *e);
