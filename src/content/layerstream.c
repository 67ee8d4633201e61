/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restart points cut the decoded bytes into regions, each of which can be
 * decoded on its own: [point, next point); the first begins at the start, the
 * last ends at the end.
 *
 *   PASSING --finish--> FINISHED (all regions are known)
 *      |
 *      +----fail------> FAILED (known up to where it failed)
 *
 * A region that is larger than a span is spooled, but not before the pass has
 * found the blob's digest right: what is in the store stays there, under a name
 * that says only what the bytes should be.
 */
#include "content/layerstream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "content/decoding.h"
#include "content/spool.h"
#include "util/auto.h"
#include "util/str.h"
#include "util/vec.h"

enum stream_state { STREAM_PASSING, STREAM_FINISHED, STREAM_FAILED };

struct stream {
	struct spans *spans;
	struct store *store;
	struct tree *tree;
	enum codec codec;
	uint64_t id; /* nobody else's, for keys */

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t changed;
	enum stream_state state;
	VEC(struct tree_point) points;
	uint64_t reached;      /* PASSING: so far; then the end */
	uint64_t steps;	       /* grows with whatever the pass says */
	struct digest diff_id; /* FINISHED */
	int error;	       /* FAILED */
};

#define REGION_FIRST SIZE_MAX
/* Readers of one place are not to a byte at the same. */
#define REGION_STEP ((size_t)64 << 10)

struct region {
	size_t point; /* that it begins with; REGION_FIRST: none */
	struct codec_point at;
	uint64_t out_end;
	uint64_t in_want; /* about where its compressed bytes end */
	enum stream_state state;
};

/* What is needed to begin decoding a region. */
struct opening {
	struct stream *stream;
	const struct region *region;
	const struct feed *feed;
	uint64_t key[2];
};

int stream_new(struct spans *spans, struct store *store, enum codec codec,
	       struct tree *tree, struct stream **ret)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->spans = spans;
	s->store = store;
	s->codec = codec;
	s->tree = tree;
	s->id = spans_next_id(spans);
	pthread_mutex_init(&s->lock, NULL);
	wait_cond_init(&s->changed);
	*ret = s;
	return 0;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	spools_forget(spans_spools(s->spans), s->id);
	vec_done(&s->points);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- what the pass tells --- */

/* Lock held. */
static void moved(struct stream *s)
{
	s->steps++;
	pthread_cond_broadcast(&s->changed);
}

int stream_add_point(struct stream *s, const struct tree_point *p)
{
	const struct tree_point *last;
	int r;

	autolock(&s->lock);
	if (s->points.len > 0) {
		last = &s->points.v[s->points.len - 1];
		if (p->out_off < last->out_off || p->in_off < last->in_off)
			return -EBADMSG; /* from a damaged file */
	}
	r = vec_push(&s->points, *p);
	if (r == 0)
		moved(s);
	return r;
}

void stream_reached(struct stream *s, uint64_t bytes)
{
	autolock(&s->lock);
	if (bytes > s->reached)
		s->reached = bytes;
	moved(s);
}

void stream_finish(struct stream *s, uint64_t bytes,
		   const struct digest *diff_id)
{
	autolock(&s->lock);
	s->state = STREAM_FINISHED;
	s->reached = bytes;
	s->diff_id = *diff_id;
	moved(s);
}

void stream_fail(struct stream *s, int error, uint64_t bytes)
{
	autolock(&s->lock);
	s->state = STREAM_FAILED;
	s->reached = bytes;
	s->error = error;
	moved(s);
}

/* --- regions --- */

/* Lock held: how many points are at or before `off`. */
static size_t points_until(const struct stream *s, uint64_t off)
{
	size_t a = 0, b = s->points.len, mid;

	while (a < b) {
		mid = a + (b - a) / 2;
		if (s->points.v[mid].out_off <= off)
			a = mid + 1;
		else
			b = mid;
	}
	return a;
}

/* Lock held: the region that holds `off`; false: not known (yet). */
static bool region_find(const struct stream *s, uint64_t off,
			struct region *ret)
{
	struct region g = {.point = REGION_FIRST, .state = s->state};
	size_t n = points_until(s, off);
	const struct tree_point *p;

	if (n > 0) {
		p = &s->points.v[n - 1];
		g.point = n - 1;
		g.at = (struct codec_point){p->in_off, p->out_off, p->bits};
	}
	if (n < s->points.len) {
		p = &s->points.v[n];
		g.out_end = p->out_off;
		g.in_want = p->in_off + (p->bits ? 1 : 0);
	} else if (s->state != STREAM_PASSING && off < s->reached) {
		g.out_end = s->reached;
		g.in_want = UINT64_MAX;
	} else {
		return false;
	}
	*ret = g;
	return true;
}

static bool region_is_big(const struct region *g)
{
	return g->out_end - g->at.out_off > SPAN_MAX;
}

/* Lock held: the pass goes on; waits for news of it. */
static int wait_news(struct stream *s, struct patience *patience)
{
	uint64_t steps = s->steps;
	int r = wait_cond(patience->wait, &s->changed, &s->lock);

	if (s->steps == steps)
		return r;
	patience_renew(patience);
	return 0;
}

/* Behind all there is. */
static int out_of_reach(const struct stream *s)
{
	return s->state == STREAM_FAILED ? s->error : -EBADMSG;
}

static int region_wait(struct stream *s, uint64_t off,
		       struct patience *patience, struct region *ret)
{
	bool found;
	int r = 0;

	autolock(&s->lock);
	for (;;) {
		found = region_find(s, off, ret);
		if (found &&
		    (s->state != STREAM_PASSING || !region_is_big(ret)))
			return 0;
		if (s->state != STREAM_PASSING)
			return out_of_reach(s);
		r = wait_news(s, patience);
		if (r < 0)
			return r;
	}
}

/* The last region may end anywhere: its size is not known. */
int stream_place(struct stream *s, uint64_t off, uint64_t len,
		 uint64_t *ret_from, uint64_t *ret_to)
{
	struct region first, last;

	if (len == 0)
		return -EINVAL;
	autolock(&s->lock);
	if (s->state != STREAM_FINISHED)
		return -EAGAIN;
	if (s->codec == CODEC_NONE) {
		*ret_from = off;
		*ret_to = off + len;
		return 0;
	}
	if (!region_find(s, off, &first) ||
	    !region_find(s, off + len - 1, &last))
		return -EAGAIN;
	*ret_from = first.at.in_off;
	*ret_to = last.in_want;
	return 0;
}

/* --- decoding --- */

static int open_decoder(const struct opening *o, struct decoder **ret)
{
	const struct region *g = o->region;
	struct stream *s = o->stream;
	uint8_t window[CODEC_WINDOW_MAX];
	autostr packed = {.max = 2 * CODEC_WINDOW_MAX};
	size_t len = 0;
	int r;

	if (g->point == REGION_FIRST)
		return decoder_new(s->codec, 0, ret);
	r = tree_get_window(s->tree, g->point, &packed);
	if (r < 0 && r != -ENODATA)
		return r;
	if (packed.len > 0) {
		r = window_unpack(packed.buf, packed.len, window, &len);
		if (r < 0)
			return r;
	}
	r = decoder_resume(s->codec, &g->at, window, len, ret);
	return r == -EINVAL ? -EBADMSG : r; /* the point is from a file */
}

static int open_region(void *arg, struct decoding **ret)
{
	const struct opening *o = arg;
	struct decoding_part part = {.codec = o->stream->codec,
				     .in_off = o->region->at.in_off,
				     .in_want = o->region->in_want,
				     .in_end = blob_size(o->feed->blob)};
	struct decoder *d;
	int r;

	r = open_decoder(o, &d);
	return r < 0 ? r : decoding_new(&part, d, ret);
}

static void region_gets_on(void *arg)
{
	const struct opening *o = arg;
	const struct region *g = o->region;

	span_gets_on(o->stream->spans, o->key, sizeof(o->key),
		     (size_t)(g->out_end - g->at.out_off));
}

/*
 * Who looks at one place in a region waits for what is before it, and who comes
 * for more has the rest made.  Only of gzip: others' decoders are large.
 */
static int make_region(void *arg, struct span_work *k, size_t want,
		       struct wait *w)
{
	struct opening *o = arg;
	struct feed feed = *o->feed;
	struct decoding *g = k->more;
	int r = 0;

	feed.wait = w;
	feed.gets_on = region_gets_on;
	feed.arg = o;
	want = (want + REGION_STEP - 1) / REGION_STEP * REGION_STEP;
	if (g || o->stream->codec != CODEC_GZIP || want > k->len)
		want = k->len;
	if (!g)
		r = open_region(o, &g);
	if (r < 0)
		return r;
	r = decoding_fill(g, &feed, k->bytes, want, &k->done);
	k->more = NULL;
	if (k->done > 0 && k->done < k->len) {
		decoding_pause(g);
		k->more = g;
	} else {
		decoding_free(g);
	}
	return r;
}

static void drop_region(void *more)
{
	decoding_free(more);
}

static int read_span(struct opening *o, void *buf, size_t len, uint64_t off)
{
	const struct region *g = o->region;
	const struct span_maker maker = {
		.make = make_region, .drop = drop_region, .arg = o};
	const struct span_want want = {
		.key = o->key,
		.key_len = sizeof(o->key),
		.len = (size_t)(g->out_end - g->at.out_off),
		.until = (size_t)(off - g->at.out_off) + len};
	struct spans *spans = o->stream->spans;
	struct span *sp;
	int r;

	o->key[0] = o->stream->id;
	o->key[1] = g->point;
	r = span_get_until(spans, &want, &maker, o->feed->wait, &sp);
	if (r < 0)
		return r;
	memcpy(buf, span_bytes(sp) + (off - g->at.out_off), len);
	span_put(spans, sp);
	return 0;
}

static int name_region(const struct opening *o, struct digest *ret)
{
	const struct digest *blob = blob_digest(o->feed->blob);
	const struct region *g = o->region;
	char diff_id[DIGEST_TEXT_MAX];
	unsigned long long from = g->at.out_off, to = g->out_end;

	if (g->state == STREAM_FAILED)
		return spool_name(ret, blob, "damaged %llu: %llu to %llu",
				  (unsigned long long)o->stream->id, from, to);
	digest_format(&o->stream->diff_id, diff_id);
	return spool_name(ret, blob, "layer %s: %llu to %llu", diff_id, from,
			  to);
}

static int read_spool(struct opening *o, void *buf, size_t len, uint64_t off)
{
	const struct region *g = o->region;
	struct stream *s = o->stream;
	struct spool_part part = {.bytes = g->out_end - g->at.out_off,
				  .fresh = g->state == STREAM_FAILED,
				  .owner = s->id,
				  .open = open_region,
				  .arg = o};
	int r;

	r = name_region(o, &part.name);
	if (r < 0)
		return r;
	return spool_read(spans_spools(s->spans), s->store, &part, o->feed, buf,
			  len, off - g->at.out_off);
}

/* --- reading --- */

/* From the first region that is wanted; *ret_len: how much. */
static int read_region(struct stream *s, const struct feed *f, void *buf,
		       size_t len, uint64_t off, struct patience *patience,
		       size_t *ret_len)
{
	struct region g;
	struct opening o = {.stream = s, .region = &g, .feed = f};
	int r;

	r = region_wait(s, off, patience, &g);
	if (r < 0)
		return r;
	if (len > g.out_end - off)
		len = (size_t)(g.out_end - off);
	*ret_len = len;
	return region_is_big(&g) ? read_spool(&o, buf, len, off)
				 : read_span(&o, buf, len, off);
}

/* Without compression: as much as was reached, straight from the blob. */
static int read_plain(struct stream *s, const struct feed *f, void *buf,
		      size_t len, uint64_t off, struct patience *patience,
		      size_t *ret_len)
{
	uint64_t reached;
	ssize_t n;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (s->reached <= off && s->state == STREAM_PASSING && r == 0)
		r = wait_news(s, patience);
	reached = s->reached;
	if (reached <= off && s->state != STREAM_PASSING)
		r = out_of_reach(s);
	pthread_mutex_unlock(&s->lock);
	if (reached <= off)
		return r;
	if (len > reached - off)
		len = (size_t)(reached - off);
	n = blob_read(f->blob, f->ahead, buf, len, off, f->wait);
	if (n <= 0)
		return n < 0 ? (int)n : -EBADMSG;
	*ret_len = (size_t)n;
	return 0;
}

int stream_read(struct stream *s, struct blob *b, struct ahead *a, void *buf,
		size_t len, uint64_t off, struct wait *w)
{
	struct feed f = {.blob = b, .ahead = a, .wait = w};
	struct patience patience;
	size_t done = 0, n = 0;
	uint8_t *out = buf;
	int r = 0;

	patience_init(&patience, w);
	while (r == 0 && done < len) {
		if (s->codec == CODEC_NONE)
			r = read_plain(s, &f, out + done, len - done,
				       off + done, &patience, &n);
		else
			r = read_region(s, &f, out + done, len - done,
					off + done, &patience, &n);
		if (r < 0)
			break;
		done += n;
		patience_renew(&patience);
	}
	return r;
}
