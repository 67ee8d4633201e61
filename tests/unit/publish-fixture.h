/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Stands in for content, for uploads, for a strict registry, and for the
 * outbox. */
#include "publish-world.h"

/* --- documents, blobs, what is known --- */

int doc_fetch(struct repo *r, const struct digest *d, struct wait *w,
	      struct doc **ret)
{
	const struct thing *t;
	struct doc *doc;
	int e = world.fetch_error;

	pthread_mutex_lock(&world.lock);
	note("GET %s %s", r->name, text_of(d));
	t = thing_find(THING_MANIFEST, r, d);
	doc = t && !e ? calloc(1, sizeof(*doc)) : NULL;
	if (doc) {
		atomic_init(&doc->refs, 1);
		e = manifest_parse(t->bytes, t->len, t->mediatype, d->alg,
				   &doc->m, NULL);
		assert_int_equal(e, 0);
		*ret = doc;
	}
	pthread_mutex_unlock(&world.lock);
	return doc ? 0 : e ? e : -ENOENT;
}

void doc_unref(struct doc *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
		return;
	manifest_free(d->m);
	free(d);
}

const struct manifest *doc_manifest(const struct doc *d)
{
	return d->m;
}

int blob_read_whole(struct repo *r, const struct digest *d, uint64_t size_bytes,
		    size_t max, struct wait *w, char **ret)
{
	const struct thing *t;
	int e = -ENOENT;

	pthread_mutex_lock(&world.lock);
	t = thing_find(THING_BLOB, r, d);
	if (t && t->bytes) {
		*ret = strndup(t->bytes, t->len);
		e = 0;
	}
	pthread_mutex_unlock(&world.lock);
	return e;
}

int blob_find(struct repo *r, const struct digest *d, struct wait *w,
	      uint64_t *ret_size_bytes)
{
	const struct thing *t;

	pthread_mutex_lock(&world.lock);
	note("HEAD %s %s", r->name, text_of(d));
	t = thing_find(THING_BLOB, r, d);
	if (t)
		*ret_size_bytes = t->len;
	pthread_mutex_unlock(&world.lock);
	return t ? 0 : -ENOENT;
}

bool known_blob(struct repo *r, const struct digest *d,
		uint64_t *ret_size_bytes)
{
	const struct thing *t;
	bool is = false;

	pthread_mutex_lock(&world.lock);
	for (size_t i = 0; i < world.known_len && !is; i++)
		is = world.known[i].repo == r &&
		     digest_equal(&world.known[i].digest, d);
	t = thing_find(THING_BLOB, r, d);
	*ret_size_bytes = t ? t->len : 0;
	pthread_mutex_unlock(&world.lock);
	return is;
}

void learn_manifest(struct repo *r, const struct manifest *m)
{
	pthread_mutex_lock(&world.lock);
	note("LEARN %s %s", r->name, text_of(&m->digest));
	pthread_mutex_unlock(&world.lock);
}

void learn_tag(struct repo *r, const char *tag, const struct manifest *m)
{
	pthread_mutex_lock(&world.lock);
	note("LEARN %s %s = %s", r->name, tag, text_of(&m->digest));
	pthread_mutex_unlock(&world.lock);
}

void learn_no_tag(struct repo *r, const char *tag)
{
	pthread_mutex_lock(&world.lock);
	note("LEARN %s no %s", r->name, tag);
	pthread_mutex_unlock(&world.lock);
}

void learn_gone(struct repo *r, const struct digest *d)
{
	pthread_mutex_lock(&world.lock);
	note("LEARN %s gone %s", r->name, text_of(d));
	for (size_t i = 0; i < world.known_len; i++)
		if (world.known[i].repo == r &&
		    digest_equal(&world.known[i].digest, d))
			world.known[i].repo = NULL;
	if (world.arrives_late && digest_equal(d, &world.arrives)) {
		thing_add(THING_BLOB, r, d);
		know(r, d);
		world.arrives_late = false;
	}
	pthread_mutex_unlock(&world.lock);
}

void learn_referrers(struct repo *r, const struct digest *subject)
{
	pthread_mutex_lock(&world.lock);
	note("LEARN %s referrers %s", r->name, text_of(subject));
	pthread_mutex_unlock(&world.lock);
}

int resolve_tag(struct repo *r, const char *tag, struct wait *w,
		struct resolved *ret)
{
	const struct thing *t;

	pthread_mutex_lock(&world.lock);
	t = tag_find(r, tag);
	if (t)
		*ret = (struct resolved){.digest = t->digest};
	pthread_mutex_unlock(&world.lock);
	return t ? 0 : -ENOENT;
}

/* Nothing is remembered. */
int resolve_peek(struct repo *r, const char *tag, struct resolved *ret)
{
	return -ENOENT;
}

void fetch_outdate(struct registry *r, const char *repository,
		   const char *reference)
{
	(void)r;
	(void)repository;
	(void)reference;
}

int fetch_resolve(struct registry *registry, const char *repository,
		  const char *tag, struct wait *w, struct fetch_resolved *ret)
{
	struct repo *r = repo_of(registry, repository);
	const struct thing *t;

	pthread_mutex_lock(&world.lock);
	note("HEAD %s %s", repository, tag);
	t = tag_find(r, tag);
	if (t)
		*ret = (struct fetch_resolved){.digest = t->digest};
	pthread_mutex_unlock(&world.lock);
	return world.head_error ? world.head_error : t ? 0 : -ENOENT;
}

/* --- images: their referrers only --- */

struct image {
	struct repo *repo;
	struct digest digest;
	struct descriptor *v;
	size_t len;
};

int image_open(struct repo *r, const struct digest *d, const char *tag,
	       struct image **ret)
{
	struct image *i = calloc(1, sizeof(*i));

	assert_non_null(i);
	i->repo = r;
	i->digest = *d;
	*ret = i;
	return 0;
}

void image_unref(struct image *i)
{
	for (size_t k = 0; k < i->len; k++)
		free(i->v[k].mediatype);
	free(i->v);
	free(i);
}

int image_referrers(struct image *i, struct wait *w,
		    const struct descriptor **ret, size_t *ret_len)
{
	if (world.referrers_error)
		return world.referrers_error;
	pthread_mutex_lock(&world.lock);
	i->v = calloc(world.len + 1, sizeof(*i->v));
	for (size_t k = 0; k < world.len; k++) {
		const struct thing *t = &world.things[k];
		struct manifest *m;

		if (t->kind != THING_MANIFEST || t->repo != i->repo)
			continue;
		assert_int_equal(manifest_parse(t->bytes, t->len, t->mediatype,
						t->digest.alg, &m, NULL),
				 0);
		if (m->has_subject &&
		    digest_equal(&m->subject.digest, &i->digest))
			i->v[i->len++] = (struct descriptor){
				.mediatype = strdup(m->mediatype),
				.digest = t->digest,
				.size_bytes = t->len};
		manifest_free(m);
	}
	pthread_mutex_unlock(&world.lock);
	*ret = i->v;
	*ret_len = i->len;
	return 0;
}

/* --- uploads --- */

struct upload {
	struct repo *repo;
	struct digest digest;
	struct feed *feed;
	struct repo *from;
};

int upload_begin(struct outbox *o, const struct upload_spec *s,
		 struct upload **ret)
{
	struct upload *u = calloc(1, sizeof(*u));

	assert_non_null(u);
	pthread_mutex_lock(&world.lock);
	note("BEGIN %s %s%s", s->repo->name, text_of(s->digest),
	     s->feed ? " feed" : "");
	pthread_mutex_unlock(&world.lock);
	u->repo = s->repo;
	u->digest = *s->digest;
	u->feed = s->feed ? feed_ref(s->feed) : NULL;
	u->from = s->from;
	*ret = u;
	return 0;
}

void upload_unref(struct upload *u)
{
	if (u)
		feed_unref(u->feed);
	free(u);
}

static int upload_do(const struct upload *u)
{
	struct thing *t = thing_find(THING_BLOB, u->repo, &u->digest);

	if (world.upload_error)
		return world.upload_error;
	if (t && !t->hidden)
		return 0;
	if (!u->feed && !(u->from && is_there(THING_BLOB, u->from, &u->digest)))
		return -ENOENT;
	note("SENT %s %s", u->repo->name, text_of(&u->digest));
	if (t)
		t->hidden = false;
	else
		thing_add(THING_BLOB, u->repo, &u->digest);
	return 0;
}

int upload_wait(struct upload *u, struct wait *w)
{
	int r;

	pthread_mutex_lock(&world.lock);
	r = upload_do(u);
	if (r == 0)
		know(u->repo, &u->digest);
	pthread_mutex_unlock(&world.lock);
	return r;
}

/* --- what changes a registry --- */

/* -ENOENT: something that it names is not there. */
static int check_parts(const struct repo *r, const struct manifest *m)
{
	if (world.lax)
		return 0;
	if (m->class == MEDIATYPE_MANIFEST &&
	    !is_there(THING_BLOB, r, &m->config.digest))
		return -ENOENT;
	for (size_t i = 0; i < m->children_len; i++) {
		const struct descriptor *d = &m->children[i];
		enum mediatype class = mediatype_class(d->mediatype);

		if (class == MEDIATYPE_FOREIGN ||
		    (m->class == MEDIATYPE_INDEX &&
		     !mediatype_is_document(class)))
			continue;
		if (!is_there(m->class == MEDIATYPE_INDEX ? THING_MANIFEST
							  : THING_BLOB,
			      r, &d->digest))
			return -ENOENT;
	}
	return 0;
}

static void put_thing(struct repo *r, const struct put_manifest *p)
{
	struct thing *t = thing_find(THING_MANIFEST, r, p->digest);

	if (t) {
		t->hidden = false;
	} else {
		t = thing_add(THING_MANIFEST, r, p->digest);
		t->bytes = strndup(p->bytes, p->len);
		t->len = p->len;
		t->mediatype = strdup(p->mediatype);
	}
	if (!p->reference)
		return;
	t = tag_find(r, p->reference);
	if (!t) {
		t = thing_add(THING_TAG, r, p->digest);
		t->name = strdup(p->reference);
	}
	t->digest = *p->digest;
}

static int put_checked(struct repo *r, const struct put_manifest *p,
		       bool *ret_subject)
{
	const char *ref = p->reference ? p->reference : text_of(p->digest);
	struct manifest *m;
	int e;

	note("PUT %s %s", r->name, ref);
	if (world.put_error &&
	    (strcmp(world.put_error_for, ref) == 0 || !world.put_error_for[0]))
		return world.put_error;
	assert_int_equal(manifest_parse(p->bytes, p->len, p->mediatype,
					p->digest->alg, &m, NULL),
			 0);
	assert_string_equal(m->mediatype, p->mediatype);
	assert_true(digest_equal(&m->digest, p->digest));
	e = check_parts(r, m);
	if (e == 0) {
		put_thing(r, p);
		if (ret_subject)
			*ret_subject = m->has_subject && world.indexes;
	}
	manifest_free(m);
	return e;
}

static bool is_held(const struct put_manifest *p)
{
	const char *ref = p->reference ? p->reference : text_of(p->digest);

	return !world.hold_for[0] || strcmp(world.hold_for, ref) == 0;
}

static int hold(struct wait *w)
{
	int r = 0;

	pthread_mutex_lock(&world.lock);
	world.held++;
	pthread_mutex_unlock(&world.lock);
	while (r == 0 && atomic_load(world.hold))
		r = wait_sleep(w, 1);
	return r;
}

int put_manifest(struct registry *registry, const struct put_manifest *p,
		 struct wait *w, bool *ret_subject)
{
	int r = 0;

	pthread_mutex_lock(&world.lock);
	if (++world.busy > world.busy_max)
		world.busy_max = world.busy;
	pthread_mutex_unlock(&world.lock);
	if (world.slow_ms)
		r = wait_sleep(w, world.slow_ms);
	if (world.hold && is_held(p))
		r = hold(w);
	pthread_mutex_lock(&world.lock);
	world.busy--;
	if (r == 0)
		r = put_checked(repo_of(registry, p->repository), p,
				ret_subject);
	pthread_mutex_unlock(&world.lock);
	return r;
}

int referrers_add(struct registry *r, const char *repository,
		  const struct digest *subject, const struct descriptor *d,
		  struct wait *w)
{
	if (world.referrers_error)
		return world.referrers_error;
	pthread_mutex_lock(&world.lock);
	note("REFER %s %s %s %s %zu", repository, text_of(subject),
	     text_of(&d->digest), d->artifact_type ? d->artifact_type : "-",
	     d->annotations_len);
	pthread_mutex_unlock(&world.lock);
	return 0;
}

int referrers_remove(struct registry *r, const char *repository,
		     const struct digest *subject, const struct digest *d,
		     struct wait *w)
{
	if (world.referrers_error)
		return world.referrers_error;
	pthread_mutex_lock(&world.lock);
	note("UNREFER %s %s %s", repository, text_of(subject), text_of(d));
	pthread_mutex_unlock(&world.lock);
	return 0;
}

static int delete_it(const char *repository, const char *what, const char *name)
{
	pthread_mutex_lock(&world.lock);
	note("DELETE %s %s %s", repository, what, name);
	pthread_mutex_unlock(&world.lock);
	return world.delete_error;
}

int delete_manifest(struct registry *r, const char *repository,
		    const struct digest *d, struct wait *w)
{
	return delete_it(repository, "manifest", text_of(d));
}

int delete_blob(struct registry *r, const char *repository,
		const struct digest *d, struct wait *w)
{
	return delete_it(repository, "blob", text_of(d));
}

int delete_tag(struct registry *r, const char *repository, const char *tag,
	       struct wait *w)
{
	return delete_it(repository, "tag", tag);
}

/* --- the outbox --- */

int outbox_writable(struct outbox *o, struct repo *r)
{
	return world.writable_error;
}

void outbox_changed(struct outbox *o, struct repo *r, const char *name)
{
	struct turn *turn;
	struct wait w;

	/* Whoever is told may be waiting for the turn. */
	wait_init(&w, 0, 0);
	if (world.alone) {
		assert_int_equal(
			turn_take(o, r->host, r->name, name, &w, &turn), 0);
		turn_leave(turn);
	}
	pthread_mutex_lock(&world.lock);
	if (world.watched && !pthread_equal(pthread_self(), world.caller))
		world.told_elsewhere++;
	note("CHANGED %s %s", r->name, name);
	pthread_mutex_unlock(&world.lock);
}

int outbox_fault(struct outbox *o, struct repo *r, const char *object,
		 int error, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&world.lock);
	note("FAULT %s %d %s", object, error, text);
	pthread_mutex_unlock(&world.lock);
	return error;
}
