/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Downloads: each chunk of a blob is fetched once however many wait for it.
 * A flight is all that is under way for one digest, whichever repositories ask;
 * its jobs are ranges that worker threads stream into the store, and who needs
 * them from the same host shares them (a host that is dead holds up nobody who
 * named another).  Downloads that nobody waits for any more and that are no
 * read-ahead are cancelled.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/digest.h"
#include "util/str.h"
#include "util/wait.h"

struct chunks;
struct content;
struct flight;
struct flights;
struct repo;

int flights_new(struct content *c, struct flights **ret);
/* Cancels all jobs and joins the workers. */
void flights_free(struct flights *fs);
size_t flights_active(struct flights *fs); /* jobs under way */
int flights_print(struct flights *fs, struct str *out);

/* The flight of this digest, shared and counted. */
int flight_open(struct flights *fs, const struct digest *d, uint64_t size_bytes,
		struct flight **ret);
/* The last one out cancels what is under way. */
void flight_close(struct flight *f);
struct chunks *flight_chunks(struct flight *f);
/* Is something under way for another repository? */
bool flight_busy(struct flight *f, const struct repo *r);

/* Returns 0 once chunk i can be read; extends the wait while bytes come. */
int flight_need(struct flight *f, struct repo *r, size_t i, struct wait *w);
/* Starts what is missing of `bytes` bytes from chunk i on; does not wait. */
void flight_ahead(struct flight *f, struct repo *r, size_t i, uint64_t bytes);
/* Starts what is missing of the chunks [i, end) and nothing else, in as few
 * requests as that takes; does not wait.  For who is about to wait for them:
 * it is no read-ahead, so it ends when the last who waits leaves. */
void flight_want(struct flight *f, struct repo *r, size_t i, size_t end);
