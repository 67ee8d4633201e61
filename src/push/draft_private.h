/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What drafts and writers share; nobody else includes it. */
#include <pthread.h>
#include <stdatomic.h>

#include "oci/digest.h"
#include "push/draft.h"
#include "push/upload.h"
#include "util/map.h"

/* --- names --- */
enum draft_name {
	DRAFT_NAME_TOP,	     /* "": the directory itself */
	DRAFT_NAME_BLOBS,    /* blobs, blobs/ALG */
	DRAFT_NAME_BLOB,     /* blobs/ALG/HEX */
	DRAFT_NAME_INDEX,    /* index.json */
	DRAFT_NAME_MANIFEST, /* manifest.json */
	DRAFT_NAME_MARKER,   /* oci-layout */
	DRAFT_NAME_VIEW,     /* config.json, layers/… */
	DRAFT_NAME_OWN,	     /* the writer's own: temporary names */
};

/* -EINVAL, -ENAMETOOLONG.  *ret_digest of a blob only. */
int draft_name_parse(const char *path, enum draft_name *ret,
		     struct digest *ret_digest);
/* Is a file of this name published, or uploaded, when it is closed? */
bool draft_name_commits(enum draft_name name);
/* May there be a directory of this name? */
bool draft_name_is_directory(const char *path);
void draft_name_blob(const struct digest *d, char out[160]);

/* --- entries --- */
/* After so long nobody comes back to what means nothing without him. */
#define DRAFT_REST_MS ((int64_t)60 * 1000)

struct draft_entry {
	/* Constant. */
	mode_t type;
	uint64_t number;
	/* Protected by the draft's lock. */
	unsigned refs; /* the draft's, and one of each writer */
	char *path;
	bool linked;  /* found under its path */
	bool removed; /* by somebody: what is written goes nowhere, or (what
		       * would be published) cannot be closed */
	bool busy;    /* being renamed */
	bool committed;
	bool confirmed; /* a blob that the registry has */
	bool document;	/* a manifest among the blobs */
	bool held;	/* the same, and the registry has it too */
	uint64_t committed_ms;
	unsigned writers;  /* that may still commit */
	struct feed *feed; /* what was committed; NULL: confirmed, or empty */
	uint64_t size_bytes;
	struct timespec mtime;
	char *target;
	/* As far as its last writer has come. */
	_Atomic uint64_t growing;
};

struct draft {
	struct outbox *o;
	struct repo *repo;
	char *name, *key;
	/* Protected by the table's lock. */
	size_t refs; /* the table's, and everybody's */
	bool listed; /* in the table */

	pthread_mutex_t lock;
	pthread_cond_t idle;
	/* All of the following is protected by lock. */
	struct map *entries; /* path -> draft_entry, linked ones */
	struct timespec mtime;
	uint64_t used_ms;
	unsigned writers; /* open */
	bool made; /* no image of this name was known: it is shown while empty
		    */
	bool acknowledged; /* something was published, or became pending */
	bool publishing;   /* one at a time, so that the last one written wins
			    */
	bool pending;	   /* `root` is */
	int failed;	   /* how the last one written was refused; or 0 */
	struct digest root;
	struct repo *from; /* where blobs were copied from, or NULL */
	pid_t maker;	   /* who made directories here */
	pid_t copier;	   /* who copied blobs last, and how many */
	unsigned copies;
	bool siblings; /* uploads of the others were begun ahead */
};

struct drafts;

/* --- draft.c --- */
/* Back into the table, if it has left it meanwhile.  -ESTALE: another draft
 * has taken its place. */
int draft_attach(struct draft *d);
/* Leaves the table if there is nothing left of it. */
void draft_settle(struct draft *d);
/* Never given twice, not by later drafts of that name either: a file that
 * comes under it later is another one. */
uint64_t draft_next_number(struct draft *d);
/* "team/app/_tags/1.5/PATH": for outbox_fault.  NULL: no memory. */
char *draft_object(const struct draft *d, const char *path);

/* --- draft_entry.c; the lock is held --- */
struct draft_entry *draft_entry_find(struct draft *d, const char *path);
/* -ENOSPC, -ENOENT, -ENOTDIR: the parent. */
int draft_entry_add(struct draft *d, const char *path, mode_t type,
		    struct draft_entry **ret);
void draft_entry_put(struct draft *d, struct draft_entry *e);
/* Out of the tree; `removed`: for its writers too, if the name means nothing
 * outside the draft.  Others have bytes of their own, and close them. */
void draft_entry_unlink(struct draft *d, struct draft_entry *e, bool removed);
/* What somebody may find there is replaced. */
int draft_entry_move(struct draft *d, struct draft_entry *e, const char *to);
/* "" is above all. */
bool draft_is_beneath(const char *path, const char *dir);
bool draft_has_beneath(struct draft *d, const char *path);
void draft_clear(struct draft *d);
/* A writer of it will not commit any more. */
void draft_entry_leave(struct draft *d, struct draft_entry *e);

/* What a file has become. */
struct draft_outcome {
	struct feed *feed; /* to be kept, or NULL */
	uint64_t size_bytes;
	bool confirmed, document, held;
	bool only_new; /* what others have committed by now stays */
};
/* The lock is not held.  Puts it where it can be found. */
int draft_entry_commit(struct draft *d, struct draft_entry *e,
		       const struct draft_outcome *out);

/* --- draft_commit.c --- */
/*
 * The bytes are what `digest` says, and the registry has them; or they are a
 * manifest of a draft.  *u: an upload that is under way, or NULL; taken.
 * `object` as for outbox_fault.
 */
struct draft_blob {
	struct outbox *outbox;
	struct repo *repo;
	const struct digest *digest;
	struct feed *feed;
	const char *object;
	bool documents; /* are kept, not sent */
};
int draft_commit_blob(const struct draft_blob *b, struct upload **u,
		      struct wait *w, struct draft_outcome *ret);
enum draft_root {
	DRAFT_ROOT_KEPT, /* it lists nothing yet */
	DRAFT_ROOT_PENDING,
	DRAFT_ROOT_PUBLISHED,
};
/* index.json or manifest.json. */
int draft_commit_root(struct draft *d, enum draft_name kind, struct feed *f,
		      struct wait *w, enum draft_root *ret);
/* The last index.json or manifest.json that was written has failed, or (0) not.
 */
void draft_note_root(struct draft *d, int error);
/* What has become of it: the entry has its bytes until it is published. */
int draft_keep_root(struct draft *d, struct draft_entry *e,
		    const struct draft_outcome *out, enum draft_root become);
/* Pending images that waited for this blob. */
int draft_poke(struct draft *d, const struct digest *digest,
	       const struct draft_outcome *out, struct wait *w);

/* --- writer.c --- */
/* Takes over one of the entry's references and counts (`writers`). */
int writer_new(struct draft *d, struct draft_entry *e, bool truncate, pid_t tid,
	       struct writer **ret);
