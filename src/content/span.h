/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A cache in memory of decoded pieces of layers: least recently used go first,
 * one maker for each however many want it, bounded in bytes (those in use
 * included as far as their readers allow).  Any thread.
 */
#include <stddef.h>
#include <stdint.h>

#include "util/wait.h"

#define SPAN_MAX ((size_t)4 << 20) /* larger ones are spooled, see spool.h */
#define SPAN_KEY_MAX 128

struct spans;
struct span;
struct spools;

int spans_new(uint64_t max_bytes, struct spans **ret);
void spans_free(struct spans *s);
/* All that nobody uses now. */
void spans_forget(struct spans *s);
/* Of what is spooled; see spool.h. */
struct spools *spans_spools(struct spans *s);
/* A number that nobody else has: to begin keys with. */
uint64_t spans_next_id(struct spans *s);
/* Fills buf with exactly len bytes, or -errno. */
typedef int (*span_make_fn)(void *arg, uint8_t *buf, size_t len,
			    struct wait *w);
/* The span of this key and length, made if need be; -EINTR, -ETIMEDOUT, what
 * make said. */
int span_get(struct spans *s, const void *key, size_t key_len, size_t len,
	     span_make_fn make, void *arg, struct wait *w, struct span **ret);
/*
 * One that is made as far as it is wanted, and further when more is.  `work` is
 * the maker's while it makes; bytes before `done` never change.  `more` is what
 * it goes on with the next time.
 */
struct span_work {
	uint8_t *bytes;
	size_t len, done; /* moved on, also by one that fails */
	void *more;	  /* or NULL */
};
struct span_maker {
	int (*make)(void *arg, struct span_work *work, size_t want,
		    struct wait *w);
	void (*drop)(void *more);
	void *arg;
};
struct span_want {
	const void *key;
	size_t key_len, len;
	size_t until; /* no byte from here on may be read */
};
/* As span_get. */
int span_get_until(struct spans *s, const struct span_want *want,
		   const struct span_maker *m, struct wait *w,
		   struct span **ret);
/* For `make`, now and then: it gets on, so who waits for it shall wait on. */
void span_gets_on(struct spans *s, const void *key, size_t key_len, size_t len);
const uint8_t *span_bytes(const struct span *sp);
void span_put(struct spans *s, struct span *sp);
