/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A deed is a call that may wait long for a registry: it goes on in a thread of
 * its own, so that FUSE's pool stays free to answer, and replies from there.
 * Its patience begins with what a commit may take; an INTERRUPT reaches it.
 * Where no thread can be had it runs at once, where it is.
 */
#include "fs/fscall.h"

struct deed {
	struct call call;
	void (*run)(struct deed *d); /* replies, and ends the call */
	struct handle *handle;
	struct node *to;       /* a reference, or NULL */
	char *name, *new_name; /* or NULL */
	bool naming; /* the kernel has locked a directory until the reply */
	bool keep;   /* what has the new name stays, and this fails */
	bool has_size;
	uint64_t size;
	/* Of reads, writes and copies. */
	struct handle *source;
	uint64_t source_at, at;
	size_t len;
	char *bytes; /* owned */
};

/* Takes copies of the names (which may be NULL); failure was answered. */
int deed_new(fuse_req_t req, fuse_ino_t id, void (*run)(struct deed *d),
	     const char *name, const char *new_name, struct deed **ret);
/* One that was begun as a call and has to wait after all: the call is in the
 * deed then.  Copies `bytes` (may be NULL); failure was answered. */
int deed_from(struct call *c, void (*run)(struct deed *d), const char *bytes,
	      size_t len, struct deed **ret);
void deed_start(struct deed *d);
void deed_now(struct deed *d); /* here: it does not wait after all */
/* Fails it as call_fail does a call, before it was started. */
void deed_refuse(struct deed *d, int r);
/* Is this thread answering a call for which the kernel holds the lock of a
 * directory?  Then it must not tell the kernel anything about names. */
bool deed_naming(void);

struct deeds; /* those under way */
int deeds_new(struct deeds **ret);
/* Until there are none, or for so long. */
void deeds_wait(struct deeds *ds, uint64_t ms);
void deeds_free(struct deeds *ds);
