/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass: compressed bytes come through the cache (which verifies them as it
 * goes), are decoded into buffers that a hasher takes on (diff_id), and on
 * their way the archive's headers are read and restart points noted.
 *
 *   fetch -> decode -> [points] -> tar -> tree
 *                   \-> hasher
 *
 * Damage of the archive itself ends decoding, but the blob is read to its end:
 * only a digest that is right makes it the image's fault.
 */
#include "content/pass_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "content/context.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/metric.h"

#define FETCH_BYTES ((size_t)1 << 20)
#define SPACING_BYTES ((uint64_t)3 << 19)
/* A layer may be decoded to so much whatever it was compressed from. */
#define RATIO_FROM_BYTES ((uint64_t)1 << 30)
/* When all downloads' places are taken, and for how long that is bearable. */
#define BUSY_SLEEP_MS 100

/* --- bytes --- */

int pass_read(struct pass *p, void *buf, size_t len, uint64_t off)
{
	const struct option_times *times = &p->x->content->times;
	uint64_t give_up_ms = clock_ms() + times->read_budget;
	ssize_t n;
	int r = 0;

	do {
		p->w->deadline_ms = clock_ms() + times->read_budget;
		/* Of what is cached, blob_read does not look. */
		r = wait_check(p->w);
		if (r < 0)
			return r;
		n = blob_read(p->blob, &p->ahead, buf, len, off, p->w);
		if (n == -EBUSY)
			r = wait_sleep(p->w, BUSY_SLEEP_MS);
	} while (n == -EBUSY && r == 0 && clock_ms() < give_up_ms);
	if (r < 0)
		return r;
	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO;
}

static int pass_fetch(struct pass *p)
{
	uint64_t left = p->x->size_bytes - p->fetched;
	size_t len = left < FETCH_BYTES ? (size_t)left : FETCH_BYTES;
	int r;

	r = len > 0 ? pass_read(p, p->in, len, p->fetched) : 0;
	if (r < 0)
		return r;
	if (p->hash_packed)
		hash_update(&p->packed, p->in, len);
	p->fetched += len;
	p->io.in = p->in;
	p->io.in_len = len;
	p->io.in_last = p->fetched == p->x->size_bytes;
	return 0;
}

/* Reads what the decoder did not want, and says whether the blob is right. */
static int pass_verify(struct pass *p)
{
	struct digest got = {.alg = p->x->digest.alg};
	int r = 0;

	while (p->fetched < p->x->size_bytes && r == 0) {
		r = pass_fetch(p);
		build_progress(&p->x->build, 1);
	}
	if (r < 0 || blob_verified(p->blob))
		return r;
	if (!p->hash_packed) {
		layerindex_fault(p->x, EIO,
				 "could not be verified: parts of it were "
				 "evicted before they could be hashed");
		return -EIO;
	}
	hash_final(&p->packed, got.raw);
	if (digest_equal(&got, &p->x->digest))
		return 0;
	layerindex_fault(p->x, EBADMSG, "the bytes do not match the digest");
	return -EBADMSG;
}

/* --- decoding --- */

static void pass_damage(struct pass *p, const char *what, uint64_t off,
			const char *reason)
{
	snprintf(p->damage, sizeof(p->damage), "%s at byte %llu: %s", what,
		 (unsigned long long)off, reason);
}

static int pass_point(struct pass *p)
{
	uint8_t window[CODEC_WINDOW_MAX];
	autofree uint8_t *packed = NULL;
	size_t len, packed_len;
	struct codec_point at;
	struct tree_point point;
	int r;

	decoder_point(p->decoder, &at, window, &len);
	r = window_pack(window, len, &packed, &packed_len);
	if (r < 0)
		return r;
	point = (struct tree_point){at.in_off, at.out_off, at.bits};
	r = tree_add_point(p->tree, &point, packed, packed_len);
	return r < 0 ? r : stream_add_point(p->stream, &point);
}

static int decode_step(struct pass *p, uint64_t before)
{
	int r = decoder_run(p->decoder, &p->io);

	switch (r) {
	case DECODER_POINT:
		return p->tree ? pass_point(p) : 0;
	case DECODER_END:
		p->ended = true;
		return 0;
	case -EBADMSG:
		pass_damage(p, "decoded", before, decoder_error(p->decoder));
		return 0;
	default:
		return r;
	}
}

/* Decodes until the buffer is full or the stream ended. */
static int pass_decode(struct pass *p, uint8_t *buf, size_t size,
		       size_t *ret_len)
{
	int r = 0;

	p->io.out = buf;
	p->io.out_len = size;
	while (r == 0 && p->io.out_len > 0 && !p->ended && !p->damage[0]) {
		if (p->io.in_len == 0 && !p->io.in_last) {
			r = pass_fetch(p);
			continue;
		}
		r = decode_step(p, p->decoded + (size - p->io.out_len));
	}
	*ret_len = size - p->io.out_len;
	p->io.out = NULL; /* the caller's */
	return r;
}

int pass_limits(struct pass *p, uint64_t packed)
{
	const struct options *o = p->x->content->options;

	if (p->decoded > o->layer_size) {
		layerindex_fault(p->x, EFBIG,
				 "decoded, the layer is larger than "
				 "layer_size allows");
		return -EFBIG;
	}
	if (p->decoded > RATIO_FROM_BYTES &&
	    p->decoded / o->layer_ratio > packed) {
		layerindex_fault(p->x, EFBIG,
				 "the layer expands more than layer_ratio "
				 "allows");
		return -EFBIG;
	}
	return 0;
}

static int pass_entries(struct pass *p, const uint8_t *buf, size_t len)
{
	int r = tar_feed(p->tar, buf, len);

	if (r == 0 && (p->ended || p->damage[0]))
		r = tar_end(p->tar);
	/* What broke the compression is the reason, not its consequence. */
	if (r == -EBADMSG && !p->damage[0])
		pass_damage(p, "archive", tar_off(p->tar), tar_error(p->tar));
	return r == -EBADMSG ? 0 : r;
}

static int pass_take(struct pass *p, const uint8_t *buf, size_t len)
{
	int r;

	p->decoded += len;
	p->w->deadline_ms = clock_ms() + p->x->content->times.read_budget;
	r = wait_check(p->w);
	if (r == 0)
		r = pass_entries(p, buf, len);
	if (r < 0)
		return r;
	hasher_give(p->hasher, len);
	stream_reached(p->stream, p->decoded);
	build_progress(&p->x->build, 1);
	return pass_limits(p, p->fetched);
}

/* --- what came of it --- */

int pass_seal(struct tree *t)
{
	int r = tree_seal(t);

	return r < 0 && tree_sealed(t) ? 0 : r;
}

static int save_counts(struct pass *p)
{
	struct treebuild_counts n;
	int r;

	treebuild_counts(p->build, &n);
	r = tree_set_int(p->tree, "entries", (int64_t)n.entries);
	if (r == 0)
		r = tree_set_int(p->tree, "left_out", (int64_t)n.left_out);
	if (r == 0)
		r = tree_set_int(p->tree, "escaped", (int64_t)n.escaped);
	if (r == 0)
		r = tree_set_int(p->tree, "dangling", (int64_t)n.dangling);
	return r;
}

int pass_save_facts(struct pass *p)
{
	const struct layerindex *x = p->x;
	int r;

	r = save_counts(p);
	if (r == 0)
		r = tree_set_int(p->tree, "form", x->form);
	if (r == 0)
		r = tree_set_int(p->tree, "codec", x->codec);
	if (r == 0)
		r = tree_set_int(p->tree, "blob_bytes", (int64_t)x->size_bytes);
	if (r == 0)
		r = tree_set_int(p->tree, "decoded_bytes", (int64_t)p->decoded);
	if (r == 0)
		r = tree_set_int(p->tree, "prefetch_end",
				 (int64_t)x->prefetch_end);
	return r;
}

static int save_end(struct pass *p, const struct digest *diff_id)
{
	char text[DIGEST_TEXT_MAX];

	if (p->damage[0])
		return tree_set_text(p->tree, "damage", p->damage);
	digest_format(diff_id, text);
	return tree_set_text(p->tree, "diff_id", text);
}

static int pass_finish(struct pass *p)
{
	struct digest diff_id = {.alg = HASH_SHA256};
	struct layerindex *x = p->x;
	int r;

	hasher_final(p->hasher, diff_id.raw);
	r = pass_verify(p);
	build_local(&x->build, true);
	if (r == 0)
		r = pass_save_facts(p);
	if (r == 0)
		r = save_end(p, &diff_id);
	if (r == 0)
		r = pass_seal(p->tree);
	build_local(&x->build, false);
	if (r < 0)
		return r;
	{
		autolock(&x->build.lock);
		x->decoded_bytes = p->decoded;
		x->diff_id = diff_id;
		x->damaged = p->damage[0] != '\0';
		memcpy(x->reason, p->damage, sizeof(x->reason));
	}
	if (x->damaged) {
		layerindex_fault(x, EBADMSG, x->reason);
		stream_fail(p->stream, -EBADMSG, p->decoded);
	} else {
		stream_finish(p->stream, p->decoded, &diff_id);
	}
	return 0;
}

/* --- what is no archive --- */

#define RAW_NAME_MAX 255

static void raw_name(const struct layerindex *x, char out[RAW_NAME_MAX + 1])
{
	char hex[129];
	const char *t = x->note.title, *slash = t ? strrchr(t, '/') : NULL;

	digest_hex(&x->digest, hex);
	if (slash)
		t = slash + 1;
	if (t && *t && strlen(t) <= RAW_NAME_MAX && strcmp(t, ".") != 0 &&
	    strcmp(t, "..") != 0 && !str_prefix(t, ".wh."))
		snprintf(out, RAW_NAME_MAX + 1, "%s", t);
	else
		snprintf(out, RAW_NAME_MAX + 1, "%s-%s",
			 digest_alg_name(&x->digest), hex);
}

static int make_raw(struct layerindex *x)
{
	struct tree_inode i = {.mode = S_IFREG | 0644,
			       .flags = TREE_BLOB,
			       .size_bytes = x->size_bytes};
	const struct tree_extra none = {0};
	char name[RAW_NAME_MAX + 1];
	struct tree *t;
	uint64_t ino;
	int r;

	r = tree_create(x->content->store, x->key, true, &t);
	if (r < 0)
		return r;
	raw_name(x, name);
	r = tree_add_inode(t, &i, &none, &ino);
	if (r == 0)
		r = tree_add_name(t, TREE_ROOT, name, ino, i.mode);
	if (r == 0)
		r = tree_seal(t);
	if (r < 0) {
		tree_close(t);
		return r;
	}
	autolock(&x->build.lock);
	x->tree = t;
	x->form = LAYER_RAW;
	x->codec = CODEC_NONE;
	x->decoded_bytes = x->size_bytes;
	return 0;
}

/* --- the pass --- */

int pass_entry(void *arg, const struct layer_entry *e)
{
	struct pass *p = arg;
	int r = treebuild_add(p->build, e);

	if (r == -EFBIG)
		layerindex_fault(p->x, EFBIG,
				 "the layer has more entries than "
				 "layer_entries allows");
	return r;
}

/* From here on readers may look. */
static int pass_begin(struct pass *p)
{
	struct content *c = p->x->content;
	int r;

	r = tree_create(c->store, p->x->key, p->in_memory, &p->tree);
	if (r < 0)
		return r;
	r = stream_new(c->spans, c->store, p->x->codec, p->tree, &p->stream);
	if (r < 0) {
		tree_close(p->tree);
		return r;
	}
	layerindex_publish(p->x, p->tree, p->stream,
			   c->options->verify == VERIFY_LAZY);
	r = treebuild_new(p->tree, c->options->layer_entries, &p->build);
	return r < 0 ? r : tar_new(pass_entry, p, &p->tar);
}

static int pass_first(struct pass *p, uint8_t *buf, size_t *ret_len,
		      bool *ret_raw)
{
	int r;

	r = pass_fetch(p);
	if (r < 0)
		return r;
	p->x->codec = codec_sniff(p->in, p->io.in_len);
	r = decoder_new(p->x->codec, 0, &p->decoder);
	if (r == 0)
		r = pass_decode(p, buf, TAR_BLOCK, ret_len);
	if (r < 0)
		return r;
	*ret_raw = *ret_len == TAR_BLOCK ? !tar_probe(buf)
					 : *ret_len > 0 || p->damage[0];
	return 0;
}

/* Starts over, now with restart points. */
static int pass_restart(struct pass *p)
{
	decoder_free(steal(&p->decoder));
	p->fetched = 0; /* it is in the cache */
	p->io = (struct decoder_io){0};
	p->ended = false;
	hash_init(&p->packed, p->x->digest.alg);
	return decoder_new(p->x->codec,
			   p->x->codec == CODEC_NONE ? 0 : SPACING_BYTES,
			   &p->decoder);
}

static int pass_loop(struct pass *p)
{
	size_t len;
	int r = 0;

	while (r == 0 && !p->ended && !p->damage[0]) {
		uint8_t *buf = hasher_buffer(p->hasher);

		r = pass_decode(p, buf, HASHER_BUFFER_BYTES, &len);
		if (r == 0)
			r = pass_take(p, buf, len);
	}
	return r;
}

static int pass_run(struct pass *p)
{
	uint8_t block[TAR_BLOCK];
	size_t len;
	bool raw;
	int r;

	r = pass_first(p, block, &len, &raw);
	/* Not even that it is no archive is known before. */
	if (r == 0 && raw && p->x->content->options->verify == VERIFY_STRICT)
		r = pass_verify(p);
	if (r == 0 && raw)
		return make_raw(p->x);
	if (r == 0)
		r = pass_restart(p);
	if (r == 0)
		r = pass_begin(p);
	if (r == 0)
		r = hasher_new(HASH_SHA256, &p->hasher);
	if (r == 0)
		r = pass_loop(p);
	return r < 0 ? r : pass_finish(p);
}

/* Could bytes be evicted before the cache has hashed them? */
static bool cache_is_tight(const struct layerindex *x)
{
	return !store_has_disk(x->content->store) || x->size_bytes == 0 ||
	       x->size_bytes > store_room(x->content->store) / 2;
}

int pass_archive(struct layerindex *x, struct blob *b, bool in_memory,
		 struct wait *w)
{
	struct pass p = {.x = x, .blob = b, .w = w, .in_memory = in_memory};
	int r = -ENOMEM;

	ahead_init(&p.ahead, content_ahead_limit(x->content), false);
	p.hash_packed = cache_is_tight(x);
	hash_init(&p.packed, x->digest.alg);
	p.in = malloc(FETCH_BYTES);
	if (p.in)
		r = pass_run(&p);
	/* Who reads along what was reached must not wait for the rest. */
	if (r < 0 && p.stream)
		stream_fail(p.stream, r, p.decoded);
	metric_add(METRIC_LAYER_PASSES, 1);
	metric_add(METRIC_LAYER_BYTES, (int64_t)p.decoded);
	treebuild_free(p.build);
	tar_free(p.tar);
	decoder_free(p.decoder);
	hasher_free(p.hasher);
	ahead_done(&p.ahead);
	free(p.in);
	return r;
}
