/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading through the cache.  A digest is stored once, whoever brought it; so
 * before a repository is served what is cached, the registry must have shown
 * that it may have it: by giving it there (then a grant is on record), or by
 * answering a HEAD.  A blob of which nothing is cached or under way proves
 * itself by the download.
 */
#include "content/blob.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "content/flight.h"
#include "registry/fetch.h"
#include "store/chunk.h"
#include "store/rows.h"
#include "util/auto.h"

/* More than this is fetched in several requests side by side. */
#define EXACT_BYTES_MAX ((uint64_t)1 << 20)

struct blob {
	atomic_uint refs;
	struct repo *repo;
	struct flight *flight;
	struct digest digest;
	atomic_bool granted;
	bool reader_checks;
};

int blob_open(struct repo *r, const struct digest *d, uint64_t size_bytes,
	      struct blob **ret)
{
	struct blob *b = calloc(1, sizeof(*b));
	int e;

	if (!b)
		return -ENOMEM;
	atomic_init(&b->refs, 1);
	b->digest = *d;
	e = flight_open(r->content->flights, d, size_bytes, &b->flight);
	if (e < 0) {
		free(b);
		return e;
	}
	b->repo = repo_ref(r);
	*ret = b;
	return 0;
}

struct blob *blob_ref(struct blob *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

void blob_unref(struct blob *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) > 1)
		return;
	flight_close(b->flight);
	repo_unref(b->repo);
	free(b);
}

uint64_t blob_size(const struct blob *b)
{
	return chunks_size(flight_chunks(b->flight));
}

void blob_prefetch(struct blob *b, uint64_t off, uint64_t len)
{
	if (atomic_load(&b->granted) && len > 0 && off < blob_size(b))
		flight_ahead(b->flight, b->repo, (size_t)(off / CHUNK_BYTES),
			     len + off % CHUNK_BYTES);
}

void blob_want(struct blob *b, uint64_t off, uint64_t len)
{
	uint64_t size = blob_size(b);

	if (len == 0 || off >= size)
		return;
	if (len > size - off)
		len = size - off;
	flight_want(b->flight, b->repo, (size_t)(off / CHUNK_BYTES),
		    (size_t)((off + len - 1) / CHUNK_BYTES) + 1);
}

uint64_t blob_cached_bytes(const struct blob *b)
{
	return (uint64_t)chunks_present(flight_chunks(b->flight)) * CHUNK_BYTES;
}

const struct digest *blob_digest(const struct blob *b)
{
	return &b->digest;
}

unsigned blob_cached_percent(const struct blob *b)
{
	const struct chunks *c = flight_chunks(b->flight);

	if (chunks_count(c) == 0)
		return 100;
	return (unsigned)(chunks_present(c) * 100 / chunks_count(c));
}

void blob_reject(struct blob *b)
{
	chunks_reject(flight_chunks(b->flight));
}

void blob_reader_checks(struct blob *b)
{
	b->reader_checks = true;
}

bool blob_verified(const struct blob *b)
{
	return chunks_verified(flight_chunks(b->flight));
}

struct prove_request {
	struct repo *repo;
	const struct digest *digest;
	struct grant_row row;
};

static int prove_run(void *arg, struct wait *w)
{
	struct prove_request *q = arg;
	struct repo *repo = q->repo;
	char identity[17];
	int r;

	r = fetch_blob_head(repo->registry, repo->name, q->digest, w,
			    &q->row.size_bytes);
	if (r < 0)
		return r;
	repo_mark_seen(repo);
	r = repo_identity(repo, identity);
	if (r < 0)
		return r;
	grant_put(repo->content->store, repo->host, repo->name, identity,
		  &q->row);
	return 0;
}

/* Granted on record, else by a HEAD.  *ret_size is the registry's word, or
 * (`claim` will do) that of a document. */
static int prove(struct repo *r, const struct digest *d, bool claim,
		 struct wait *w, uint64_t *ret_size)
{
	struct prove_request q = {.repo = r, .digest = d};
	struct content *c = r->content;
	char identity[17], text[DIGEST_TEXT_MAX];
	autofree char *key = NULL;
	bool led;
	int e;

	q.row = (struct grant_row){.digest = *d, .kind = GRANT_BLOB};
	e = repo_identity(r, identity);
	if (e < 0)
		return e;
	if (grant_has(c->store, r->host, r->name, identity, d, &q.row) &&
	    (claim || q.row.kind != GRANT_CLAIM)) {
		*ret_size = q.row.size_bytes;
		return 0;
	}
	q.row.kind = GRANT_BLOB;
	digest_format(d, text);
	key = str_printf("blob %s/%s@%s", r->host, r->name, text);
	if (!key)
		return -ENOMEM;
	e = gate_enter_as(&c->gate, r->host, w);
	if (e < 0)
		return e;
	e = single_run(c->single, key, w, prove_run, &q, &led);
	if (e == 0 && !led &&
	    !grant_has(c->store, r->host, r->name, identity, d, &q.row))
		e = prove_run(&q, w); /* no store to leave it in */
	gate_leave_as(&c->gate, r->host, w);
	if (e == 0)
		*ret_size = q.row.size_bytes;
	return e;
}

int blob_find(struct repo *r, const struct digest *d, struct wait *w,
	      uint64_t *ret_size_bytes)
{
	return prove(r, d, false, w, ret_size_bytes);
}

void blob_fault(const struct blob *b, int error, const char *text)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(&b->digest, digest);
	object = str_printf("%s/_blobs/%s", b->repo->name, digest);
	content_fault(b->repo->content, b->repo->host, object ? object : digest,
		      error, text);
}

static int blob_prove(struct blob *b, struct wait *w)
{
	uint64_t size;
	int r;

	if (atomic_load(&b->granted))
		return 0;
	r = prove(b->repo, &b->digest, true, w, &size);
	if (r == -ENOENT) /* no news where somebody only looks for a name */
		blob_fault(b, ENOENT, "the registry does not have it");
	if (r < 0)
		return r;
	if (size != blob_size(b)) {
		blob_fault(b, EBADMSG, "the size is not the descriptor's");
		return -EBADMSG;
	}
	atomic_store(&b->granted, true);
	return 0;
}

/* verify=strict: nothing before all of it was hashed. */
static int blob_need_all(struct blob *b, struct wait *w)
{
	struct chunks *c = flight_chunks(b->flight);
	uint64_t limit = content_ahead_limit(b->repo->content);
	int r = 0;

	for (size_t i = 0; i < chunks_count(c) && r == 0; i++) {
		if (chunks_verified(c))
			return 0;
		flight_ahead(b->flight, b->repo, i + 1, limit);
		r = flight_need(b->flight, b->repo, i, w);
	}
	if (r < 0 || chunks_verified(c))
		return r;
	/* Evicted faster than it could be hashed. */
	blob_fault(b, EIO, "could not be verified: the cache is too small");
	return -EIO;
}

static int blob_need(struct blob *b, struct ahead *a, uint64_t off, size_t len,
		     struct wait *w)
{
	const struct content *content = b->repo->content;
	struct chunks *c = flight_chunks(b->flight);
	size_t first = (size_t)(off / CHUNK_BYTES);
	size_t last = (size_t)((off + len - 1) / CHUNK_BYTES);
	uint64_t window = a ? ahead_window(a, off, len) : 0;
	/* Where the reader ends, aligned pieces would go beyond. */
	bool exact = len + window <= EXACT_BYTES_MAX &&
		     (window == 0 || ahead_at_end(a, off + len + window));
	int r = 0;

	if (content->options->verify == VERIFY_STRICT && !b->reader_checks &&
	    !chunks_verified(c))
		r = blob_need_all(b, w);
	if (r == 0 && exact)
		blob_want(b, off, len + window);
	for (size_t i = first; i <= last && r == 0; i++) {
		if (chunks_ready(c, i, false)) {
			metric_add(METRIC_CHUNK_HITS, 1);
			continue;
		}
		/* There is but one connection in the beginning: what is sure
		 * to be wanted comes by that. */
		if (!exact && i == 0 && window > 0)
			blob_want(b, 0,
				  len + window < EXACT_BYTES_MAX
					  ? len + window
					  : EXACT_BYTES_MAX);
		/* What else this read and its window want starts now too. */
		if (!exact)
			flight_ahead(b->flight, b->repo, i + 1,
				     (uint64_t)(last - i) * CHUNK_BYTES +
					     window);
		r = flight_need(b->flight, b->repo, i, w);
	}
	if (r == 0 && !exact)
		flight_ahead(b->flight, b->repo, last + 1, window);
	return r;
}

/* Cached bytes, or bytes that another repository's download brings. */
static bool blob_needs_proof(const struct blob *b)
{
	return !atomic_load(&b->granted) &&
	       (chunks_present(flight_chunks(b->flight)) > 0 ||
		flight_busy(b->flight, b->repo));
}

/* Chunk by chunk: where the cache is too small for all that is being read, it
 * is enough that one is there at a time. */
static ssize_t read_piecewise(struct blob *b, char *buf, size_t len,
			      uint64_t off, struct wait *w)
{
	struct chunks *c = flight_chunks(b->flight);
	size_t done = 0;

	while (done < len) {
		uint64_t at = off + done;
		size_t piece = CHUNK_BYTES - (size_t)(at % CHUNK_BYTES);
		ssize_t n;
		int r;

		if (piece > len - done)
			piece = len - done;
		r = blob_need(b, NULL, at, piece, w);
		if (r < 0)
			return r;
		n = chunks_read(c, buf + done, piece, at);
		if (n == -ENODATA)
			n = wait_check(w); /* once more */
		if (n < 0)
			return n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t read_granted(struct blob *b, struct ahead *a, void *buf,
			    size_t len, uint64_t off, struct wait *w)
{
	struct chunks *c = flight_chunks(b->flight);
	ssize_t n;
	int r = 0;

	if (blob_needs_proof(b))
		r = blob_prove(b, w);
	if (r == 0)
		r = blob_need(b, a, off, len, w);
	if (r == 0)
		r = blob_prove(b, w);
	if (r < 0)
		return r;
	n = chunks_read(c, buf, len, off);
	if (n == -ENODATA) /* evicted between the two */
		n = read_piecewise(b, buf, len, off, w);
	chunks_touch(c);
	return n;
}

ssize_t blob_read(struct blob *b, struct ahead *a, void *buf, size_t len,
		  uint64_t off, struct wait *w)
{
	ssize_t n;

	if (off >= blob_size(b) || len == 0)
		return 0;
	if (len > blob_size(b) - off)
		len = (size_t)(blob_size(b) - off);
	n = read_granted(b, a, buf, len, off, w);
	/* It was there before: what is open is gone (faults.md N12). */
	return n == -ENOENT && atomic_load(&b->granted) ? -ESTALE : n;
}

int blob_read_whole(struct repo *r, const struct digest *d, uint64_t size_bytes,
		    size_t max, struct wait *w, char **ret)
{
	autoptr(blob) b = NULL;
	autofree char *bytes = NULL;
	struct digest got;
	ssize_t n;
	int e;

	if (size_bytes > max)
		return -EFBIG;
	bytes = malloc((size_t)size_bytes + 1);
	if (!bytes)
		return -ENOMEM;
	e = blob_open(r, d, size_bytes, &b);
	if (e < 0)
		return e;
	n = blob_read(b, NULL, bytes, (size_t)size_bytes, 0, w);
	if (n < 0)
		return (int)n;
	bytes[n] = '\0';
	digest_of(d->alg, bytes, (size_t)n, &got);
	if (!digest_equal(&got, d))
		return -EBADMSG;
	*ret = steal(&bytes);
	return 0;
}
