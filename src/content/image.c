/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of an image are set once and stay until the image goes: a pointer
 * handed out lives as long as the image.  Two threads may fetch the same part
 * at once (the request itself is shared below); the second finds it set.
 */
#include "content/image.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/context.h"
#include "content/doc.h"
#include "content/layernote.h"
#include "content/remember.h"
#include "content/walk.h"
#include "registry/referrers.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/map.h"

#define UNTIMED_MS 1000

/* Older ones stay, for they may have been handed out. */
struct referrers_list {
	struct referrers_list *older;
	uint64_t epoch; /* of the repository, before it was asked for */
	struct descriptor *v;
	size_t len;
	struct map *index; /* of v, by digest */
};

struct image {
	atomic_uint refs;
	struct repo *repo;
	struct digest digest;
	char *tag;

	pthread_mutex_t lock; /* protects the pointers below, not what they
				 point to, which is immutable */
	struct doc *root;
	struct doc *platform;
	bool barren; /* it has nothing for the platform */
	bool timed;
	struct timespec time;
	uint64_t untimed_until_ms; /* a failure to learn it is believed */
	struct image_parts parts;  /* none: not walked yet */
	struct referrers_list *referrers; /* newest first */
};

int image_open(struct repo *r, const struct digest *d, const char *tag,
	       struct image **ret)
{
	struct image *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	if (tag) {
		i->tag = strdup(tag);
		if (!i->tag) {
			free(i);
			return -ENOMEM;
		}
	}
	atomic_init(&i->refs, 1);
	pthread_mutex_init(&i->lock, NULL);
	i->digest = *d;
	i->repo = repo_ref(r);
	*ret = i;
	return 0;
}

struct image *image_ref(struct image *i)
{
	atomic_fetch_add(&i->refs, 1);
	return i;
}

static void referrers_drop(struct referrers_list *l)
{
	while (l) {
		struct referrers_list *older = l->older;

		referrers_free(l->v, l->len);
		map_free(l->index, NULL);
		free(l);
		l = older;
	}
}

void image_unref(struct image *i)
{
	if (!i || atomic_fetch_sub(&i->refs, 1) > 1)
		return;
	doc_unref(i->root);
	doc_unref(i->platform);
	image_parts_done(&i->parts);
	referrers_drop(i->referrers);
	repo_unref(i->repo);
	pthread_mutex_destroy(&i->lock);
	free(i->tag);
	free(i);
}

struct repo *image_repo(const struct image *i)
{
	return i->repo;
}

const struct digest *image_digest(const struct image *i)
{
	return &i->digest;
}

const char *image_tag(const struct image *i)
{
	return i->tag;
}

/* Keeps d in *slot unless there is one already; returns the one kept. */
static struct doc *image_keep(struct image *i, struct doc **slot, struct doc *d)
{
	autolock(&i->lock);
	if (*slot)
		doc_unref(d);
	else
		*slot = d;
	return *slot;
}

static struct doc *image_kept(struct image *i, struct doc *const *slot)
{
	autolock(&i->lock);
	return *slot;
}

int image_root(struct image *i, struct wait *w, const struct manifest **ret)
{
	struct doc *d = image_kept(i, &i->root);
	int r;

	if (!d) {
		r = doc_fetch(i->repo, &i->digest, w, &d);
		if (r < 0)
			return r;
		d = image_keep(i, &i->root, d);
	}
	*ret = doc_manifest(d);
	return 0;
}

/* Down from the root, which is held for it; -ENOENT: there is none. */
static int platform_find(struct image *i, struct wait *w, struct doc **ret)
{
	const struct platform *want = &i->repo->content->options->platform;
	struct doc *d = doc_ref(image_kept(i, &i->root)), *next = NULL;
	int r = 0;

	for (int depth = 0;; depth++) {
		const struct manifest *m = doc_manifest(d);
		const struct descriptor *child;

		if (m->class != MEDIATYPE_INDEX)
			break;
		child = manifest_choose(m, want);
		if (!child || depth == MANIFEST_DEPTH_MAX)
			r = -ENOENT;
		else
			r = doc_fetch_descriptor(i->repo, child, w, &next);
		doc_unref(d);
		if (r < 0)
			return r;
		d = next;
	}
	*ret = d;
	return 0;
}

int image_platform(struct image *i, struct wait *w, const struct manifest **ret)
{
	const struct manifest *root;
	struct doc *d = NULL;
	int r;

	{
		autolock(&i->lock);
		if (i->platform || i->barren) {
			if (i->platform)
				*ret = doc_manifest(i->platform);
			return i->platform ? 0 : -ENOENT;
		}
	}
	r = image_root(i, w, &root);
	if (r == 0)
		r = platform_find(i, w, &d);
	if (r == 0) {
		*ret = doc_manifest(image_keep(i, &i->platform, d));
		layernote_save(i->repo, *ret);
	} else if (r == -ENOENT && image_kept(i, &i->root)) {
		autolock(&i->lock);
		i->barren = true;
	}
	return r;
}

/* --- time --- */

static bool annotated_time(const struct manifest *m, struct timespec *ret)
{
	const char *s;

	s = manifest_annotation(m, "org.opencontainers.image.created");
	return s && clock_parse_rfc3339(s, ret) == 0;
}

static int config_time(struct image *i, const struct manifest *m,
		       struct wait *w, struct timespec *ret)
{
	autofree char *bytes = NULL;
	struct imageconf *conf;
	struct json_error err;
	int r;

	if (m->class != MEDIATYPE_MANIFEST ||
	    mediatype_class(m->config.mediatype) != MEDIATYPE_CONFIG)
		return 0;
	r = blob_read_whole(i->repo, &m->config.digest, m->config.size_bytes,
			    IMAGECONF_BYTES_MAX, w, &bytes);
	if (r < 0)
		return r;
	r = imageconf_parse(bytes, (size_t)m->config.size_bytes,
			    m->children_len, &conf, &err);
	if (r < 0)
		return 0; /* no image configuration: says no time */
	if (conf->has_created)
		*ret = conf->created;
	imageconf_free(conf);
	return 0;
}

/* 1: that may be another time.  0: it is so. */
static int image_find_time(struct image *i, struct wait *w,
			   struct timespec *ret)
{
	const struct manifest *m;
	int r;

	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	if (annotated_time(m, ret))
		return 0;
	r = image_platform(i, w, &m);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (annotated_time(m, ret))
		return 0;
	/* A configuration that cannot be had costs the date, not the image. */
	r = config_time(i, m, w, ret);
	if (r == -EINTR || r == -ENOMEM)
		return r;
	return r < 0 && r != -ENOENT && r != -EBADMSG && r != -EFBIG;
}

int image_learn_time(struct image *i, struct wait *w)
{
	struct timespec t = {0};
	int r;

	{
		autolock(&i->lock);
		if (i->timed || clock_ms() < i->untimed_until_ms)
			return 0;
	}
	r = image_find_time(i, w, &t);
	if (r < 0)
		return r;
	autolock(&i->lock);
	if (r == 1) {
		i->untimed_until_ms = clock_ms() + UNTIMED_MS;
	} else if (!i->timed) {
		i->time = t;
		i->timed = true;
	}
	return 0;
}

void image_time_known(struct image *i, struct timespec *ret)
{
	autolock(&i->lock);
	if (i->timed)
		*ret = i->time;
}

/* --- what is reachable --- */

static int image_walk(struct image *i, struct wait *w)
{
	struct image_parts found = {{0}, {0}};
	const struct manifest *root;
	int r;

	r = image_root(i, w, &root);
	if (r == 0)
		r = walk_image(i->repo, root, w, &found);
	if (r < 0)
		return r;
	autolock(&i->lock);
	if (i->parts.entries.v)
		image_parts_done(&found); /* somebody else was faster */
	else
		i->parts = found;
	return 0;
}

int image_entries(struct image *i, struct wait *w,
		  const struct image_entry **ret, size_t *ret_len)
{
	bool known;
	int r;

	{
		autolock(&i->lock);
		known = i->parts.entries.v != NULL;
	}
	if (!known) {
		r = image_walk(i, w);
		if (r < 0)
			return r;
	}
	autolock(&i->lock);
	*ret = i->parts.entries.v;
	*ret_len = i->parts.entries.len;
	return 0;
}

/* Looks among what this one document names. */
static bool find_in(const struct manifest *m, const struct digest *d,
		    struct image_entry *ret)
{
	const struct descriptor *hit = NULL;
	enum mediatype class;

	if (m->class == MEDIATYPE_MANIFEST &&
	    digest_equal(&m->config.digest, d)) {
		*ret = (struct image_entry){.digest = *d,
					    .size_bytes = m->config.size_bytes,
					    .part = PART_CONFIG,
					    .mediatype = m->config.mediatype};
		return true;
	}
	for (size_t i = 0; i < m->children_len && !hit; i++)
		if (digest_equal(&m->children[i].digest, d))
			hit = &m->children[i];
	if (!hit || hit->size_bytes == DESCRIPTOR_SIZE_UNKNOWN)
		return false;
	class = mediatype_class(hit->mediatype);
	if (class == MEDIATYPE_FOREIGN ||
	    (m->class == MEDIATYPE_INDEX && !mediatype_is_document(class)))
		return false;
	*ret = (struct image_entry){.digest = *d,
				    .size_bytes = hit->size_bytes,
				    .mediatype = hit->mediatype};
	if (m->class != MEDIATYPE_INDEX)
		ret->part = PART_LAYER;
	else
		ret->part =
			class == MEDIATYPE_INDEX ? PART_INDEX : PART_MANIFEST;
	return true;
}

int image_find(struct image *i, const struct digest *d, struct wait *w,
	       struct image_entry *ret)
{
	const struct image_entry *entries;
	const struct manifest *m;
	size_t len;
	int r;

	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	if (digest_equal(d, &i->digest)) {
		*ret = (struct image_entry){.digest = *d,
					    .size_bytes = m->size_bytes,
					    .part = PART_ROOT,
					    .mediatype = m->mediatype};
		return 0;
	}
	if (find_in(m, d, ret))
		return 0;
	if (image_platform(i, w, &m) == 0 && find_in(m, d, ret))
		return 0;
	r = image_entries(i, w, &entries, &len);
	if (r < 0)
		return r;
	for (size_t k = 0; k < len; k++) {
		if (digest_equal(&entries[k].digest, d)) {
			*ret = entries[k];
			return 0;
		}
	}
	return -ENOENT;
}

static uint64_t referrers_epoch(struct repo *r)
{
	autolock(&r->lock);
	return r->referrers_epoch;
}

static int ask_referrers(struct image *i, struct wait *w,
			 struct referrers_list *l)
{
	struct content *c = i->repo->content;
	int r;

	if (c->options->offline) {
		r = recall_referrers(i->repo, &i->digest, &l->v, &l->len);
		if (r != -ENOENT)
			return r;
	}
	r = gate_enter(&c->gate, i->repo->host);
	if (r < 0)
		return r;
	r = referrers_fetch(i->repo->registry, i->repo->name, &i->digest, w,
			    &l->v, &l->len);
	gate_leave(&c->gate, i->repo->host);
	if (r == 0)
		remember_referrers(i->repo, &i->digest, l->v, l->len);
	return r;
}

/* Each name of a long list is looked up. */
static int index_referrers(struct referrers_list *l)
{
	int r = map_new(&l->index);

	for (size_t i = 0; i < l->len && r == 0; i++)
		r = map_putn(l->index, &l->v[i].digest, sizeof(l->v[i].digest),
			     &l->v[i], NULL);
	return r;
}

static int image_fetch_referrers(struct image *i, uint64_t epoch,
				 struct wait *w)
{
	struct referrers_list *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	r = ask_referrers(i, w, l);
	if (r == 0)
		r = index_referrers(l);
	if (r < 0) {
		referrers_drop(l);
		return r;
	}
	l->epoch = epoch;
	autolock(&i->lock);
	if (i->referrers && i->referrers->epoch >= epoch) {
		referrers_drop(l); /* somebody else was faster */
		return 0;
	}
	l->older = i->referrers;
	i->referrers = l;
	return 0;
}

/* Lives as long as the image. */
static int newest_referrers(struct image *i, struct wait *w,
			    const struct referrers_list **ret)
{
	uint64_t epoch = referrers_epoch(i->repo);
	bool known;
	int r;

	{
		autolock(&i->lock);
		known = i->referrers && i->referrers->epoch >= epoch;
	}
	if (!known) {
		r = image_fetch_referrers(i, epoch, w);
		if (r < 0)
			return r;
	}
	autolock(&i->lock);
	*ret = i->referrers;
	return 0;
}

int image_referrers(struct image *i, struct wait *w,
		    const struct descriptor **ret, size_t *ret_len)
{
	const struct referrers_list *l;
	int r = newest_referrers(i, w, &l);

	if (r < 0)
		return r;
	*ret = l->v;
	*ret_len = l->len;
	return 0;
}

int image_find_referrer(struct image *i, const struct digest *d, struct wait *w)
{
	const struct referrers_list *l;
	int r = newest_referrers(i, w, &l);

	if (r < 0)
		return r;
	return map_findn(l->index, d, sizeof(*d)) ? 0 : -ENOENT;
}
