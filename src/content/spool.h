/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is too large for a span when decoded: it is decoded in order, and its
 * chunks are kept in the store (which may evict any of them), so that its bytes
 * can be read at random.  One thread decodes a part at a time; who comes next
 * goes on where it stopped, or begins anew for what was evicted.  Of the last
 * few parts the decoders are kept.  Any thread.
 */
#include <stdbool.h>

#include "content/decoding.h"
#include "oci/digest.h"
#include "store/store.h"

struct spools;

struct spool_part {
	/* A name for these bytes, which nothing else has: the store's objects
	 * that have it hold nothing else.  Made by spool_name. */
	struct digest name;
	uint64_t bytes;
	/* What it is when decoded: checked before a byte is given out. */
	bool has_digest;
	uint8_t digest[32];
	/* The name says too little to trust what an earlier run left under it.
	 */
	bool fresh;
	uint64_t owner; /* 0: nobody in particular */
	/* A decoding that begins at the first byte. */
	int (*open)(void *arg, struct decoding **ret);
	void *arg;
};

int spools_new(struct spools **ret);
void spools_free(struct spools *ss); /* no reader is left; NULL is fine */
/* The owner's parts are not read any more. */
void spools_forget(struct spools *ss, uint64_t owner);

/* Of something decoded from this blob. */
int spool_name(struct digest *ret, const struct digest *blob, const char *fmt,
	       ...) __attribute__((format(printf, 3, 4)));
/* All that was decoded from it, in this run or an earlier one.  How many bytes
 * that were. */
uint64_t spool_forget(struct store *s, const struct digest *blob);
/* Exactly len bytes from `off` of the part, or -errno.  The feed's wait is
 * extended while there is progress. */
int spool_read(struct spools *ss, struct store *store,
	       const struct spool_part *p, const struct feed *f, void *buf,
	       size_t len, uint64_t off);
