/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each piece is decoded from its frame or member on, as a whole, and compared
 * with its digest, before it becomes a span that others can see.
 */
#include "content/piece.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "content/decoding.h"
#include "content/spool.h"

struct piece {
	const struct tree_piece *p;
	enum codec codec;
	struct spans *spans;
	const struct feed *feed;
	struct digest name; /* of what decides its content, for keys */
};

static int piece_open(void *arg, struct decoding **ret)
{
	const struct piece *q = arg;
	struct decoding_part part = {.codec = q->codec,
				     .in_off = q->p->src_off,
				     .in_want = q->p->src_end,
				     .in_end = q->p->src_end,
				     .skip = q->p->inner_off};
	uint64_t size = blob_size(q->feed->blob);
	struct decoder *d = NULL;
	int r;

	if (part.in_end > size)
		part.in_end = size;
	if (q->codec != CODEC_NONE) {
		r = decoder_new(q->codec, 0, &d);
		if (r < 0)
			return r;
	}
	return decoding_new(&part, d, ret);
}

static void piece_gets_on(void *arg)
{
	const struct piece *q = arg;

	span_gets_on(q->spans, &q->name, sizeof(q->name), (size_t)q->p->bytes);
}

static int piece_check(const struct piece *q, const uint8_t *buf, size_t len)
{
	const struct tree_piece *p = q->p;
	struct digest got, want = {.alg = HASH_SHA256};
	char text[96];

	if (!p->has_digest)
		return 0;
	memcpy(want.raw, p->digest, sizeof(p->digest));
	digest_of(HASH_SHA256, buf, len, &got);
	if (digest_equal(&got, &want))
		return 0;
	snprintf(text, sizeof(text),
		 "the piece at byte %llu does not match its digest",
		 (unsigned long long)p->src_off);
	blob_fault(q->feed->blob, EBADMSG, text);
	return -EBADMSG;
}

static int piece_make(void *arg, uint8_t *buf, size_t len, struct wait *w)
{
	struct piece *q = arg;
	struct feed feed = *q->feed;
	struct decoding *g;
	size_t pos = 0;
	int r;

	feed.wait = w;
	feed.gets_on = piece_gets_on;
	feed.arg = q;
	r = piece_open(q, &g);
	if (r < 0)
		return r;
	r = decoding_fill(g, &feed, buf, len, &pos);
	decoding_free(g);
	if (r == 0)
		r = piece_check(q, buf, len);
	/* The registry may have sent something else than it has. */
	if (r == -EBADMSG)
		blob_reject(q->feed->blob);
	return r;
}

static int read_span(struct piece *q, void *buf, size_t len, uint64_t off)
{
	struct span *sp;
	int r;

	r = span_get(q->spans, &q->name, sizeof(q->name), (size_t)q->p->bytes,
		     piece_make, q, q->feed->wait, &sp);
	if (r < 0)
		return r;
	memcpy(buf, span_bytes(sp) + off, len);
	span_put(q->spans, sp);
	return 0;
}

static int read_spool(struct piece *q, struct store *store, void *buf,
		      size_t len, uint64_t off)
{
	struct spool_part part = {.name = q->name,
				  .bytes = q->p->bytes,
				  .has_digest = q->p->has_digest,
				  .fresh = true,
				  .open = piece_open,
				  .arg = q};

	memcpy(part.digest, q->p->digest, sizeof(part.digest));
	return spool_read(spans_spools(q->spans), store, &part, q->feed, buf,
			  len, off);
}

/* A digest alone would do for the content, but who names another's digest must
 * not be shown what it names. */
static int piece_name(const struct tree_piece *p, const struct blob *b,
		      struct digest *ret)
{
	char blob[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX] = "unknown";
	struct digest d = {.alg = HASH_SHA256};

	if (p->has_digest) {
		memcpy(d.raw, p->digest, sizeof(p->digest));
		digest_format(&d, digest);
	}
	digest_format(blob_digest(b), blob);
	return spool_name(ret, blob_digest(b),
			  "piece %s: %llu to %llu, %llu: %llu of %s", blob,
			  (unsigned long long)p->src_off,
			  (unsigned long long)p->src_end,
			  (unsigned long long)p->inner_off,
			  (unsigned long long)p->bytes, digest);
}

int piece_read(struct spans *spans, struct store *store, struct blob *b,
	       enum codec codec, const struct tree_piece *p, struct ahead *a,
	       void *buf, size_t len, uint64_t off, struct wait *w)
{
	struct feed feed = {.blob = b, .ahead = a, .wait = w};
	struct piece q = {
		.p = p, .codec = codec, .spans = spans, .feed = &feed};
	int r;

	if (off > p->bytes || len > p->bytes - off)
		return -EINVAL;
	if (len == 0)
		return 0;
	r = piece_name(p, b, &q.name);
	if (r < 0)
		return r;
	return p->bytes > SPAN_MAX ? read_spool(&q, store, buf, len, off)
				   : read_span(&q, buf, len, off);
}
