/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool is one part while it is read or was read lately:
 *
 *   RESTING <--take/leave--> BUSY (one thread decodes chunk after chunk)
 *
 * Invariants: (1) only the thread that made it busy touches its decoding, so
 * that is done without the lock.  (2) Chunks below `next` were put into the
 * store since the decoding began; they may be evicted at once, so the thread
 * that decodes a chunk takes the bytes that it came for out of its own buffer:
 * every turn at decoding serves at least its own reader, however small the
 * store.  (3) A part with a digest is PROVEN when all of it was decoded once
 * and the digest was right; before, nothing is given out.  The hash of each
 * chunk of that decoding is kept, and a chunk that is decoded again must match,
 * for a server may not send the same twice.
 *
 * The store's object has a made-up name, its chunks are all whole, and it has
 * one more chunk that never comes: so it is never complete, and the store does
 * not compare its digest with the name.  Neither can a blob be read by this
 * detour by who may not, nor can decoded bytes pass for a blob's.
 */
#include "content/spool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "oci/descriptor.h"
#include "store/chunk.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/list.h"
#include "util/log.h"
#include "util/str.h"
#include "util/vec.h"

#define SPOOLS_MAX 64
#define DECODINGS_MAX 4 /* a zstd window may have 128 MiB */
#define DECODING_IDLE_MS 30000
/* The kernel asks page by page for what could not be read. */
#define FAILURE_MEMORY_MS 5000
#define SUM_BYTES 32
#define FAMILY_BYTES 16 /* of a name */

struct spool_sum {
	uint8_t bytes[SUM_BYTES];
};

struct spool {
	struct list_node node; /* in spools->all */
	struct spools *spools;
	struct digest name;
	uint64_t bytes, owner;
	bool has_digest, fresh;
	uint8_t digest[SUM_BYTES];

	/* Protected by spools->lock. */
	unsigned users;
	bool busy;
	bool proven;	  /* set by who is busy */
	uint64_t steps;	  /* grows with every chunk that is decoded */
	uint64_t idle_ms; /* since when it rests */
	int error;	  /* what came of the chunks from error_i on ... */
	size_t error_i;
	uint64_t error_ms;     /* ... and when */
	struct chunks *chunks; /* set once, by who is busy */

	/* Of who is busy. */
	struct decoding *decoding; /* NULL: begin anew; read under the lock
				      when not busy */
	size_t next, filled;	   /* chunk being filled, and how far */
	uint8_t *buf;		   /* of it, CHUNK_BYTES; or NULL */
	struct hash hash;	   /* until proven */
	VEC(struct spool_sum) sums;
};

struct spools {
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t changed;
	struct list_node all; /* least recently used first */
	size_t len;
};

/* One reader's errand: bytes [from, from + len) of chunk i. */
struct errand {
	struct spool *spool;
	const struct spool_part *part;
	struct store *store;
	const struct feed *feed;
	struct patience *patience;
	size_t i, from, len;
	uint8_t *dst;
	uint64_t seen; /* spool->steps when last looked at */
	size_t bad_i;  /* which one could not be decoded */
	bool copied;
};

int spools_new(struct spools **ret)
{
	struct spools *ss = calloc(1, sizeof(*ss));

	if (!ss)
		return -ENOMEM;
	pthread_mutex_init(&ss->lock, NULL);
	wait_cond_init(&ss->changed);
	list_init(&ss->all);
	*ret = ss;
	return 0;
}

static void drop_decoding(struct spool *e)
{
	decoding_free(steal(&e->decoding));
	free(steal(&e->buf));
	e->next = e->filled = 0;
}

/* Lock held. */
static void spool_free(struct spool *e)
{
	list_del(&e->node);
	e->spools->len--;
	drop_decoding(e);
	chunks_close(e->chunks);
	vec_done(&e->sums);
	free(e);
}

void spools_free(struct spools *ss)
{
	if (!ss)
		return;
	list_for_safe(n, &ss->all)
		spool_free(container_of(n, struct spool, node));
	pthread_cond_destroy(&ss->changed);
	pthread_mutex_destroy(&ss->lock);
	free(ss);
}

void spools_forget(struct spools *ss, uint64_t owner)
{
	autolock(&ss->lock);
	list_for_safe(n, &ss->all) {
		struct spool *e = container_of(n, struct spool, node);

		if (e->owner != owner || e->users > 0)
			continue;
		if (e->fresh && e->chunks)
			chunks_drop(e->chunks); /* nobody asks for it again */
		spool_free(e);
	}
}

/* The names of all that comes from a blob begin with the same bytes. */
static int name_family(struct digest *ret, const struct digest *blob)
{
	autofree char *text = NULL;
	char name[DIGEST_TEXT_MAX];

	digest_format(blob, name);
	text = str_printf("registryfs spools of %s", name);
	if (!text)
		return -ENOMEM;
	digest_of(HASH_SHA256, text, strlen(text), ret);
	return 0;
}

int spool_name(struct digest *ret, const struct digest *blob, const char *fmt,
	       ...)
{
	autostr text = {0};
	struct digest family, own;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = str_add(&text, "registryfs spool ");
	if (r == 0)
		r = str_vaddf(&text, fmt, ap);
	va_end(ap);
	if (r == 0)
		r = name_family(&family, blob);
	if (r < 0)
		return r;
	digest_of(HASH_SHA256, text.buf, text.len, &own);
	memcpy(own.raw, family.raw, FAMILY_BYTES);
	*ret = own;
	return 0;
}

uint64_t spool_forget(struct store *s, const struct digest *blob)
{
	struct digest family;

	if (name_family(&family, blob) < 0)
		return 0;
	return store_forget_family(s, &family, FAMILY_BYTES);
}

/* --- the table --- */

/* Lock held: what was not used for long, or is too much. */
static void expire(struct spools *ss)
{
	uint64_t now = clock_ms();
	size_t decodings = 0;

	for (struct list_node *n = ss->all.prev; n != &ss->all; n = n->prev) {
		struct spool *e = container_of(n, struct spool, node);

		if (e->busy || !e->decoding)
			continue;
		if (++decodings > DECODINGS_MAX ||
		    now - e->idle_ms > DECODING_IDLE_MS)
			drop_decoding(e);
	}
	list_for_safe(n, &ss->all) {
		struct spool *e = container_of(n, struct spool, node);

		if (ss->len <= SPOOLS_MAX)
			break;
		if (e->users == 0)
			spool_free(e);
	}
}

static struct spool *find(struct spools *ss, const struct spool_part *p)
{
	list_for(n, &ss->all) {
		struct spool *e = container_of(n, struct spool, node);

		if (digest_equal(&e->name, &p->name))
			return e;
	}
	return NULL;
}

static int spool_open(struct spools *ss, const struct spool_part *p,
		      struct spool **ret)
{
	struct spool *e;

	autolock(&ss->lock);
	expire(ss);
	e = find(ss, p);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->spools = ss;
		e->name = p->name;
		e->bytes = p->bytes;
		e->owner = p->owner;
		e->fresh = p->fresh;
		e->has_digest = p->has_digest;
		memcpy(e->digest, p->digest, sizeof(e->digest));
		list_init(&e->node);
		ss->len++;
	}
	list_del(&e->node);
	list_push_back(&ss->all, &e->node);
	e->users++;
	*ret = e;
	return 0;
}

static void spool_close(struct spool *e)
{
	autolock(&e->spools->lock);
	e->users--;
	expire(e->spools);
}

/* Lock held: somebody else decodes; looks again at every chunk. */
static int spool_wait(struct errand *q)
{
	struct spool *e = q->spool;
	int r;

	r = wait_cond(q->feed->wait, &e->spools->changed, &e->spools->lock);
	if (e->steps != q->seen)
		patience_renew(q->patience);
	q->seen = e->steps;
	return e->busy ? r : 0;
}

/* Takes a turn if nobody else has it, else waits a while. */
static int spool_take(struct errand *q, bool *ret_taken)
{
	struct spool *e = q->spool;
	int r;

	autolock(&e->spools->lock);
	*ret_taken = false;
	if (e->busy)
		return spool_wait(q);
	r = wait_check(q->feed->wait);
	if (r < 0)
		return r;
	if (e->error < 0 && q->i >= e->error_i &&
	    clock_ms() - e->error_ms < FAILURE_MEMORY_MS)
		return e->error;
	e->busy = *ret_taken = true;
	return 0;
}

static void spool_leave(struct errand *q, int result)
{
	struct spool *e = q->spool;

	autolock(&e->spools->lock);
	e->busy = false;
	e->idle_ms = clock_ms();
	if (result == -EBADMSG) {
		e->error = result;
		e->error_i = q->bad_i;
		e->error_ms = e->idle_ms;
	}
	pthread_cond_broadcast(&e->spools->changed);
}

/* --- decoding; busy, lock not held --- */

static size_t chunk_bytes(const struct spool *e, size_t i)
{
	uint64_t left = e->bytes - (uint64_t)i * CHUNK_BYTES;

	return left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
}

static size_t chunk_count(uint64_t bytes)
{
	return (size_t)((bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
}

static int open_chunks(struct errand *q)
{
	struct spool *e = q->spool;
	struct chunks *c;
	int r;

	if (e->chunks)
		return 0;
	if (e->bytes > DESCRIPTOR_SIZE_MAX - 2 * CHUNK_BYTES)
		return -EFBIG;
	r = chunks_open(q->store, &e->name,
			(uint64_t)(chunk_count(e->bytes) + 1) * CHUNK_BYTES,
			&c);
	if (r < 0)
		return r;
	if (e->fresh || e->has_digest)
		chunks_drop(c);
	autolock(&e->spools->lock);
	e->chunks = c;
	return 0;
}

static int begin(struct errand *q)
{
	struct spool *e = q->spool;
	struct decoding *g;
	int r;

	drop_decoding(e);
	r = q->part->open(q->part->arg, &g);
	if (r < 0)
		return r;
	if (e->has_digest && !e->proven) {
		hash_init(&e->hash, HASH_SHA256);
		e->sums.len = 0;
	}
	e->decoding = g;
	return 0;
}

static int bad_digest(const struct spool *e, const char *why)
{
	struct digest d = {.alg = HASH_SHA256};
	char name[24];

	memcpy(d.raw, e->digest, SUM_BYTES);
	digest_short(&d, name);
	log_warning("piece %s: %s", name, why);
	return -EBADMSG;
}

/* The chunk in the buffer: hashed, or compared with what it was. */
static int check_chunk(struct spool *e, size_t len)
{
	uint8_t hash[HASH_MAX];
	struct spool_sum sum;

	if (!e->has_digest)
		return 0;
	hash_once(HASH_SHA256, e->buf, len, hash);
	memcpy(sum.bytes, hash, sizeof(sum.bytes));
	if (!e->proven) {
		hash_update(&e->hash, e->buf, len);
		return vec_push(&e->sums, sum);
	}
	if (memcmp(&sum, &e->sums.v[e->next], sizeof(sum)) == 0)
		return 0;
	return bad_digest(e, "decodes to something else than before");
}

/* Into the store.  If chaining states of an earlier run are in the way, the
 * store forgets them with the first refusal. */
static int put_chunk(struct spool *e, size_t len)
{
	int r;

	memset(e->buf + len, 0, CHUNK_BYTES - len);
	r = chunks_put(e->chunks, e->next, e->buf, CHUNK_BYTES);
	if (r == -EBADMSG)
		r = chunks_put(e->chunks, e->next, e->buf, CHUNK_BYTES);
	return r;
}

/* One chunk further.  Failing, it can go on later, or begins anew. */
static int step(struct errand *q)
{
	struct spool *e = q->spool;
	size_t len = chunk_bytes(e, e->next);
	int r;

	if (!e->buf)
		e->buf = malloc(CHUNK_BYTES);
	if (!e->buf)
		return -ENOMEM;
	r = decoding_fill(e->decoding, q->feed, e->buf, len, &e->filled);
	if (r == 0)
		r = check_chunk(e, len);
	if (r == 0)
		r = put_chunk(e, len);
	if (r == -EBADMSG && !(e->has_digest && !e->proven))
		q->bad_i = e->next;
	if (r == -EBADMSG || (r < 0 && e->filled == len))
		drop_decoding(e);
	if (r < 0)
		return r;
	if (e->next == q->i) {
		memcpy(q->dst, e->buf + q->from, q->len);
		q->copied = true;
	}
	e->next++;
	e->filled = 0;
	patience_renew(q->patience);
	autolock(&e->spools->lock);
	e->steps++;
	pthread_cond_broadcast(&e->spools->changed);
	return 0;
}

/* All of it, once. */
static int prove(struct errand *q)
{
	struct spool *e = q->spool;
	uint8_t got[HASH_MAX];
	int r = 0;

	if (!e->decoding)
		r = begin(q);
	while (r == 0 && e->next < chunk_count(e->bytes))
		r = step(q);
	if (r < 0)
		return r;
	hash_final(&e->hash, got);
	drop_decoding(e);
	if (memcmp(got, e->digest, SUM_BYTES) != 0)
		return bad_digest(e, "decodes to something else");
	autolock(&e->spools->lock);
	e->proven = true;
	return 0;
}

/* Decodes what the errand is about; or looks elsewhere, q->copied is false. */
static int produce(struct errand *q)
{
	struct spool *e = q->spool;
	int r;

	r = open_chunks(q);
	if (r < 0)
		return r;
	if (e->has_digest && !e->proven)
		return prove(q);
	/* Somebody may have been here in between. */
	if (chunks_ready(e->chunks, q->i, false))
		return 0;
	if (!e->decoding || e->next > q->i)
		r = begin(q);
	while (r == 0 && !q->copied)
		r = step(q);
	return r;
}

/* --- reading --- */

/* 0: done; -ENODATA: not in the store. */
static int from_store(struct errand *q)
{
	struct spool *e = q->spool;
	struct chunks *c;
	ssize_t n;

	pthread_mutex_lock(&e->spools->lock);
	c = e->has_digest && !e->proven ? NULL : e->chunks;
	pthread_mutex_unlock(&e->spools->lock);
	if (!c || !chunks_ready(c, q->i, false))
		return -ENODATA;
	n = chunks_read(c, q->dst, q->len,
			(uint64_t)q->i * CHUNK_BYTES + q->from);
	if (n < 0)
		return (int)n;
	return (size_t)n == q->len ? 0 : -EIO;
}

static int errand_run(struct errand *q)
{
	bool taken;
	int r;

	while ((r = from_store(q)) == -ENODATA) {
		r = spool_take(q, &taken);
		if (r == 0 && taken) {
			r = produce(q);
			spool_leave(q, r);
		}
		if (r < 0 || q->copied)
			break;
	}
	return r;
}

int spool_read(struct spools *ss, struct store *store,
	       const struct spool_part *p, const struct feed *f, void *buf,
	       size_t len, uint64_t off)
{
	struct patience patience;
	struct spool *e;
	size_t done = 0;
	int r;

	patience_init(&patience, f->wait);
	r = spool_open(ss, p, &e);
	if (r < 0)
		return r;
	while (r == 0 && done < len) {
		uint64_t at = off + done;
		struct errand q = {.spool = e,
				   .part = p,
				   .store = store,
				   .feed = f,
				   .patience = &patience,
				   .i = (size_t)(at / CHUNK_BYTES),
				   .from = (size_t)(at % CHUNK_BYTES),
				   .dst = (uint8_t *)buf + done};

		q.len = CHUNK_BYTES - q.from;
		if (q.len > len - done)
			q.len = len - done;
		r = errand_run(&q);
		done += q.len;
	}
	spool_close(e);
	return r;
}
