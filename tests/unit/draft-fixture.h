/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A registry, uploads, publications and processes that are a few tables: what
 * surrounds drafts and writers, for tests of nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/doc.h"
#include "content/image.h"
#include "content/known.h"
#include "content/resolve.h"
#include "push/draft.h"
#include "push/outbox_private.h"
#include "push/pending.h"
#include "push/publish.h"
#include "push/upload.h"
#include "util/process.h"

#include "fake-feed.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define OBJECTS_MAX 64
/* No pid of the tests. */
#define NOBODY 0

struct object {
	char *bytes;
	size_t len;
	struct digest digest;
};

/* Protected by lock. */
static struct fake {
	pthread_mutex_t lock;
	struct object objects[OBJECTS_MAX]; /* of the registry */
	size_t objects_len;
	struct object elsewhere[OBJECTS_MAX]; /* of another one */
	size_t elsewhere_len;
	char tag[DIGEST_TEXT_MAX];	 /* what 1.5 means; "": nothing */
	char published[DIGEST_TEXT_MAX]; /* what it meant before */
	struct digest pending;
	struct object docs[8]; /* its documents */
	size_t docs_len;
	int poke_error;
	size_t missing_len;
	struct digest missing[16];
	unsigned pendings, faults, begun, sent, siblings, forgotten;
	int fault, writable;
	int early;	  /* how an upload fails while it is written */
	int upload_error; /* or at its end */
	int publish_error;
	pid_t dying, exited;
	enum image_part part;
	char old[4096]; /* what publish_choose was told */
} fake;

struct repo {
	const char *host, *name;
};
static struct repo here = {"r.example", "team/app"},
		   there = {"s.example", "lib/app"};
static struct outbox box;
static struct wait patience; /* for calls that do not wait */

static struct object *fake_find(struct object *v, size_t n,
				const struct digest *d)
{
	for (size_t i = 0; i < n; i++) {
		if (digest_equal(&v[i].digest, d))
			return &v[i];
	}
	return NULL;
}

static bool in_registry(const struct digest *d)
{
	bool found;

	pthread_mutex_lock(&fake.lock);
	found = fake_find(fake.objects, fake.objects_len, d);
	pthread_mutex_unlock(&fake.lock);
	return found;
}

static void object_add(struct object *v, size_t *n, const void *bytes,
		       size_t len, const struct digest *d)
{
	pthread_mutex_lock(&fake.lock);
	if (!fake_find(v, *n, d)) {
		assert_true(*n < OBJECTS_MAX);
		v[*n].bytes = malloc(len + 1);
		memcpy(v[*n].bytes, bytes, len);
		v[*n].len = len;
		v[(*n)++].digest = *d;
	}
	pthread_mutex_unlock(&fake.lock);
}

/* --- repositories, processes, what is known --- */

struct repo *repo_ref(struct repo *r)
{
	return r;
}

void repo_unref(struct repo *r)
{
	(void)r;
}

const char *repo_host(const struct repo *r)
{
	return r->host;
}

const char *repo_name(const struct repo *r)
{
	return r->name;
}

/* Threads 10 to 19 are process 10, and so on. */
enum process_state process_look(pid_t tid, pid_t *ret_pid)
{
	pid_t pid = tid / 10 * 10;

	if (tid == NOBODY)
		return PROCESS_UNKNOWN;
	if (ret_pid)
		*ret_pid = pid;
	if (pid == fake.dying)
		return PROCESS_DYING;
	return pid == fake.exited ? PROCESS_EXITED : PROCESS_ALIVE;
}

int resolve_peek(struct repo *r, const char *tag, struct resolved *ret)
{
	(void)r;
	(void)tag;
	memset(ret, 0, sizeof(*ret));
	return digest_parse(fake.published, &ret->digest) < 0 ? -ENOENT : 0;
}

int resolve_tag(struct repo *r, const char *tag, struct wait *w,
		struct resolved *ret)
{
	(void)w;
	return resolve_peek(r, tag, ret);
}

bool known_blob(struct repo *r, const struct digest *d, uint64_t *ret)
{
	(void)r;
	*ret = 0;
	return in_registry(d);
}

bool known_manifest(struct repo *r, const struct digest *d)
{
	(void)r;
	return in_registry(d);
}

int image_find(struct image *i, const struct digest *d, struct wait *w,
	       struct image_entry *ret)
{
	(void)i;
	(void)w;
	memset(ret, 0, sizeof(*ret));
	ret->digest = *d;
	ret->part = fake.part;
	return 0;
}

struct doc {
	struct manifest *m;
};

/* What the registry has. */
int doc_fetch(struct repo *r, const struct digest *d, struct wait *w,
	      struct doc **ret)
{
	struct object *o = fake_find(fake.objects, fake.objects_len, d);
	struct manifest *m;

	(void)r;
	(void)w;
	if (!o || manifest_parse(o->bytes, o->len, "", d->alg, &m, NULL) < 0)
		return -ENOENT;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->m = m;
	return 0;
}

void doc_unref(struct doc *d)
{
	manifest_free(d->m);
	free(d);
}

const struct manifest *doc_manifest(const struct doc *d)
{
	return d->m;
}

struct blob {
	struct object *o;
};

int blob_open(struct repo *r, const struct digest *d, uint64_t size,
	      struct blob **ret)
{
	struct object *o =
		r == &there ? fake_find(fake.elsewhere, fake.elsewhere_len, d)
			    : fake_find(fake.objects, fake.objects_len, d);

	if (!o || o->len != size)
		return -ENOENT;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->o = o;
	return 0;
}

void blob_unref(struct blob *b)
{
	free(b);
}

ssize_t blob_read(struct blob *b, struct ahead *a, void *buf, size_t len,
		  uint64_t off, struct wait *w)
{
	(void)a;
	(void)w;
	if (off >= b->o->len)
		return 0;
	if (len > b->o->len - off)
		len = b->o->len - off;
	memcpy(buf, b->o->bytes + off, len);
	return (ssize_t)len;
}

/* --- the outbox --- */

int outbox_writable(struct outbox *o, struct repo *r)
{
	(void)o;
	(void)r;
	return fake.writable;
}

int outbox_fault(struct outbox *o, struct repo *r, const char *object,
		 int error, const char *fmt, ...)
{
	(void)o;
	(void)r;
	(void)fmt;
	assert_non_null(object);
	assert_true(error < 0);
	fake.faults++;
	fake.fault = error;
	return error;
}

/* --- uploads --- */

struct upload {
	struct upload_spec spec;
	struct digest digest;
};

int upload_begin(struct outbox *o, const struct upload_spec *s,
		 struct upload **ret)
{
	(void)o;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->spec = *s;
	(*ret)->digest = *s->digest;
	if (s->feed)
		feed_ref(s->feed);
	pthread_mutex_lock(&fake.lock);
	fake.begun++;
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

void upload_unref(struct upload *u)
{
	if (!u)
		return;
	feed_unref(u->spec.feed);
	free(u);
}

bool upload_done(const struct upload *u, int *ret)
{
	(void)u;
	*ret = fake.early;
	return fake.early != 0;
}

int upload_wait(struct upload *u, struct wait *w)
{
	struct digest got;
	struct object *o;

	(void)w;
	if (fake.upload_error || fake.early)
		return fake.upload_error ? fake.upload_error : fake.early;
	if (!u->spec.feed) {
		o = fake_find(fake.elsewhere, fake.elsewhere_len, &u->digest);
		assert_ptr_equal(u->spec.from, &there);
		if (!o || u->spec.size_bytes != o->len)
			return -ENOENT;
		object_add(fake.objects, &fake.objects_len, o->bytes, o->len,
			   &o->digest);
		return 0;
	}
	assert_true(u->spec.feed->ended);
	digest_of(u->digest.alg, u->spec.feed->bytes, u->spec.feed->len, &got);
	if (!digest_equal(&got, &u->digest))
		return -EBADMSG;
	object_add(fake.objects, &fake.objects_len, u->spec.feed->bytes,
		   u->spec.feed->len, &got);
	pthread_mutex_lock(&fake.lock);
	fake.sent++;
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

void upload_siblings(struct outbox *o, struct repo *to, struct image *from)
{
	(void)o;
	(void)from;
	assert_ptr_equal(to, &here);
	fake.siblings++;
}

void upload_forget_ahead(struct outbox *o, struct repo *to)
{
	(void)o;
	(void)to;
	fake.forgotten++;
}

/* --- publications --- */

/* The one that is not in the old file. */
int publish_choose(const char *bytes, size_t len, const char *old,
		   size_t old_len, const char *name, struct descriptor *ret,
		   bool *ret_itself, struct str *why)
{
	const struct descriptor *one = NULL;
	struct manifest *m;
	size_t found = 0;
	int r = 0;

	(void)name;
	snprintf(fake.old, sizeof(fake.old), "%.*s", (int)old_len,
		 old ? old : "");
	*ret_itself = false;
	if (manifest_parse(bytes, len, "", HASH_SHA256, &m, NULL) < 0 ||
	    m->class != MEDIATYPE_INDEX) {
		(void)str_add(why, "no index");
		return -EINVAL;
	}
	for (size_t i = 0; i < m->children_len; i++) {
		char text[DIGEST_TEXT_MAX];

		digest_format(&m->children[i].digest, text);
		if (strstr(fake.old, text))
			continue;
		one = &m->children[i];
		found++;
	}
	if (m->children_len == 0)
		r = -ENODATA;
	else if (found != 1)
		r = -EINVAL;
	else
		r = descriptor_copy(one, ret);
	manifest_free(m);
	return r;
}

void publish_docs_done(struct publish_docs *d)
{
	free(d->v);
}

static void miss(struct string_list *missing, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	assert_int_equal(string_list_add(missing, text), 0);
}

static void walk_manifest(const struct publication *p, const struct digest *d,
			  struct string_list *missing)
{
	struct manifest *m;
	struct feed *f;

	if (p->find(p->arg, d, &f) < 0) {
		if (!in_registry(d))
			miss(missing, d);
		return;
	}
	if (manifest_parse(f->bytes, f->len, "", d->alg, &m, NULL) < 0) {
		feed_unref(f);
		return;
	}
	for (size_t i = 0; i < m->children_len; i++) {
		if (m->class == MEDIATYPE_INDEX)
			walk_manifest(p, &m->children[i].digest, missing);
		else if (!in_registry(&m->children[i].digest))
			miss(missing, &m->children[i].digest);
	}
	if (m->class == MEDIATYPE_MANIFEST && !in_registry(&m->config.digest))
		miss(missing, &m->config.digest);
	if (missing->len == 0)
		object_add(fake.objects, &fake.objects_len, f->bytes, f->len,
			   d);
	manifest_free(m);
	feed_unref(f);
}

int publish(const struct publication *p, struct wait *w,
	    struct string_list *missing, struct publish_docs *ret_docs)
{
	(void)w;
	(void)ret_docs;
	if (fake.publish_error)
		return fake.publish_error;
	walk_manifest(p, p->root, missing);
	if (missing->len > 0)
		return -EAGAIN;
	pthread_mutex_lock(&fake.lock);
	digest_format(p->root, fake.tag);
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

int pending_add(const struct publication *p, const struct string_list *missing,
		const struct publish_docs *docs)
{
	(void)docs;
	pthread_mutex_lock(&fake.lock);
	fake.pending = *p->root;
	fake.pendings = 1;
	fake.missing_len = missing->len;
	for (size_t i = 0; i < missing->len; i++)
		assert_int_equal(digest_parse(missing->v[i], &fake.missing[i]),
				 0);
	pthread_mutex_unlock(&fake.lock);
	return 0;
}

static void also_miss(const struct digest *d)
{
	if (!fake_find(fake.objects, fake.objects_len, d))
		fake.missing[fake.missing_len++] = *d;
}

/* The document of a pending image: it waits for what that references. */
static void pending_document(const struct feed *f, const struct digest *d)
{
	struct manifest *m;
	struct object *o = &fake.docs[fake.docs_len++];

	assert_int_equal(manifest_parse(f->bytes, f->len, "", d->alg, &m, NULL),
			 0);
	o->bytes = calloc(1, f->len + 1);
	memcpy(o->bytes, f->bytes, f->len);
	o->len = f->len;
	o->digest = *d;
	if (m->class == MEDIATYPE_MANIFEST)
		also_miss(&m->config.digest);
	for (size_t i = 0; i < m->children_len; i++)
		also_miss(&m->children[i].digest);
	manifest_free(m);
}

static bool pending_arrived(const struct digest *d, const struct feed *feed)
{
	size_t i = 0;

	while (i < fake.missing_len && !digest_equal(&fake.missing[i], d))
		i++;
	if (i == fake.missing_len)
		return false;
	fake.missing[i] = fake.missing[--fake.missing_len];
	if (feed)
		pending_document(feed, d);
	if (fake.missing_len > 0)
		return false;
	fake.pendings = 0;
	digest_format(&fake.pending, fake.tag);
	return true;
}

int pending_poke(struct outbox *o, struct repo *r, const struct digest *d,
		 struct feed *feed, struct wait *w)
{
	bool done;

	(void)w;
	pthread_mutex_lock(&fake.lock);
	done = pending_arrived(d, feed);
	pthread_mutex_unlock(&fake.lock);
	for (size_t i = 0; done && i < fake.docs_len; i++)
		object_add(fake.objects, &fake.objects_len, fake.docs[i].bytes,
			   fake.docs[i].len, &fake.docs[i].digest);
	if (done)
		draft_published(o, r, "1.5", &fake.pending);
	return fake.poke_error;
}

int pending_sync(struct outbox *o, struct repo *r, const char *name,
		 struct wait *w)
{
	(void)o;
	(void)r;
	(void)name;
	(void)w;
	return fake.pendings ? -EIO : 0;
}

void pending_forget(struct outbox *o, struct repo *r, const char *name)
{
	(void)o;
	(void)r;
	(void)name;
	pthread_mutex_lock(&fake.lock);
	fake.pendings = 0;
	fake.missing_len = 0;
	pthread_mutex_unlock(&fake.lock);
}

/* --- before and after each test --- */

static int fixture_setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	memset(&box, 0, sizeof(box));
	box.times.commit_budget = box.times.read_budget =
		box.times.meta_budget = 5000;
	wait_init(&patience, 5000, 0);
	return drafts_new(&box, &box.drafts);
}

/* Nothing may be left. */
static int fixture_teardown(void **state)
{
	(void)state;
	drafts_free(box.drafts);
	assert_int_equal(feeds.alive, 0);
	assert_int_equal(box.writers, 0);
	for (size_t i = 0; i < fake.objects_len; i++)
		free(fake.objects[i].bytes);
	for (size_t i = 0; i < fake.elsewhere_len; i++)
		free(fake.elsewhere[i].bytes);
	for (size_t i = 0; i < fake.docs_len; i++)
		free(fake.docs[i].bytes);
	pthread_mutex_destroy(&fake.lock);
	return 0;
}
