/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the writer share; nobody else includes it. */
#include "push/draft_private.h"
#include "push/writer.h"

enum writer_state {
	WRITER_CLEAN,
	WRITER_DIRTY,
	WRITER_COMMITTED,
	WRITER_FAILED,
	WRITER_DROPPED,
};

enum writer_sniff {
	SNIFF_NOTHING,	/* no byte at 0 yet */
	SNIFF_BLANK,	/* could still be a document */
	SNIFF_DOCUMENT, /* could be one: begins with '{' */
	SNIFF_STREAM,
};

/* Bytes that somebody else has: a blob of a registry, as far as it was
 * recorded. */
struct writer_extent {
	struct repo *repo; /* NULL: none */
	struct digest digest;
	uint64_t size_bytes, got;
};

struct writer {
	/* Constant. */
	struct outbox *o;
	struct repo *repo;
	struct draft *draft;	   /* NULL: a blob beneath no image */
	struct draft_entry *entry; /* with a draft */
	struct digest digest;	   /* without one */
	pid_t creator;		   /* 0: unknown */
	bool truncated;		   /* begun with no bytes */

	pthread_mutex_t lock;
	pthread_cond_t idle;
	/* Protected by lock. */
	bool busy;

	/* Belongs to the thread that is busy. */
	_Atomic enum writer_state state; /* anybody may look */
	int error;			 /* FAILED */
	bool counted;			 /* among the entry's writers */
	bool killed;	   /* one who had it open while it was DIRTY */
	struct feed *feed; /* NULL: no bytes but those of the extent */
	bool given;	   /* the entry has the feed too, and others read it */
	struct writer_extent extent;
	struct upload *upload; /* or NULL */
	struct digest upload_for;
	bool began; /* was tried while it was being written */
	enum writer_sniff sniff;

	_Atomic uint64_t size;
};

/* --- writer.c --- */
/* The name that the file has now; `ret_digest` of a blob. */
enum draft_name writer_name(struct writer *w, struct digest *ret_digest);
void writer_set_dirty(struct writer *w);
/* 0, or why nothing can be done with it any more. */
int writer_check_state(const struct writer *w);
/* From now on everything fails with this; returns it. */
int writer_fail(struct writer *w, int error);
/* Waits till nobody else is busy (`wait` NULL: for ever). */
int writer_enter(struct writer *w, struct wait *wait);
void writer_leave(struct writer *w);

/* A line for `.registryfs/errors`. */
void writer_report(struct writer *w, int error, const char *text);

/* --- writer_bytes.c --- */
void writer_set_size(struct writer *w, uint64_t size_bytes);
void writer_stop_upload(struct writer *w);
/* 0, or how the upload that is under way has failed. */
int writer_check_upload(struct writer *w);

/* --- writer_copy.c --- */
/* Bytes of its own, which can be changed. */
int writer_own_feed(struct writer *w, struct wait *wait);
void writer_forget_extent(struct writer *w);

/* --- writer_commit.c --- */
/* Does what the name means; no state is changed. */
int writer_commit(struct writer *w, struct wait *wait);
