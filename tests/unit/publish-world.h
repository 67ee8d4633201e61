/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A world around publications: what a registry has, repositories, files at
 * hand, a record of what was asked of whom, and images to put there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "content/blob.h"
#include "content/doc.h"
#include "content/image.h"
#include "content/known.h"
#include "content/resolve.h"
#include "push/outbox_private.h"
#include "push/pending.h"
#include "push/publish.h"
#include "push/turn.h"
#include "push/upload.h"
#include "registry/fetch.h"
#include "registry/out/put.h"
#include "util/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define UNUSED __attribute__((unused))
#define CONFIG "application/vnd.oci.image.config.v1+json"
#define LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define FOREIGN "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
#define THINGS_MAX 4096

struct repo {
	char host[64], name[64];
	atomic_int refs;
};

enum thing_kind { THING_BLOB, THING_MANIFEST, THING_TAG, THING_REFERRER };

/* What the registry has. */
struct thing {
	enum thing_kind kind;
	const struct repo *repo;
	struct digest digest; /* of a referrer: its subject */
	char *name;	      /* tag, or the referrer's digest */
	char *bytes, *mediatype;
	size_t len;
	bool hidden; /* gone, though the mount believes that it is there */
};

/* A file at hand. */
struct feed {
	atomic_uint refs;
	char *bytes;
	size_t len;
	bool ended;
};

struct doc {
	atomic_uint refs;
	struct manifest *m;
};

static struct world {
	pthread_mutex_t lock; /* protects all of it */
	struct thing things[THINGS_MAX];
	size_t len;
	struct repo repos[4];
	size_t repos_len;
	struct {
		const struct repo *repo;
		struct digest digest;
	} known[THINGS_MAX];
	size_t known_len;
	struct feed *hand[THINGS_MAX];
	struct digest hand_digest[THINGS_MAX];
	size_t hand_len;
	struct str log; /* one line for each thing that was done */
	bool indexes;	/* the registry knows referrers itself */
	int put_error;	/* what a PUT of put_error_for fails with */
	char put_error_for[160];
	int upload_error, fetch_error, referrers_error, open_error;
	int writable_error, delete_error, head_error;
	bool lax;	  /* takes manifests whose parts are not there */
	unsigned slow_ms; /* of a PUT */
	unsigned busy, busy_max;
	const atomic_bool *hold; /* PUTs wait while it is true */
	char hold_for[160];	 /* those of this only */
	unsigned held;
	bool alone;   /* nobody else changes names */
	bool watched; /* who tells of changes: all by this thread? */
	pthread_t caller;
	unsigned told_elsewhere;
	struct feed *draft; /* of the draft's document */
	struct digest draft_digest;
	bool has_draft;
	struct digest arrives; /* as soon as it was found missing */
	bool arrives_late;
	struct options options;
	struct outbox outbox;
} world;

/* --- texts --- */

UNUSED static void note(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	assert_int_equal(str_vaddf(&world.log, fmt, ap), 0);
	va_end(ap);
	assert_int_equal(str_addc(&world.log, '\n'), 0);
}

static const char *text_of(const struct digest *d)
{
	static __thread char text[4][DIGEST_TEXT_MAX];
	static __thread unsigned n;
	char *t = text[n++ % 4];

	digest_format(d, t);
	return t;
}

/* How often a line begins with this. */
UNUSED static unsigned noted(const char *start)
{
	unsigned n = 0;

	pthread_mutex_lock(&world.lock);
	for (const char *p = world.log.buf; p && *p; p++) {
		n += strncmp(p, start, strlen(start)) == 0;
		p += strcspn(p, "\n");
		if (!*p)
			break;
	}
	pthread_mutex_unlock(&world.lock);
	return n;
}

/* Is line a before line b? */
UNUSED static bool noted_before(const char *a, const char *b)
{
	const char *p, *q;

	pthread_mutex_lock(&world.lock);
	p = world.log.buf ? strstr(world.log.buf, a) : NULL;
	q = world.log.buf ? strstr(world.log.buf, b) : NULL;
	pthread_mutex_unlock(&world.lock);
	return p && q && p < q;
}

/* --- the registry's side; lock held --- */

static struct thing *thing_find(enum thing_kind kind, const struct repo *r,
				const struct digest *d)
{
	for (size_t i = 0; i < world.len; i++) {
		struct thing *t = &world.things[i];

		if (t->kind == kind && t->repo == r &&
		    digest_equal(&t->digest, d))
			return t;
	}
	return NULL;
}

static struct thing *tag_find(const struct repo *r, const char *tag)
{
	for (size_t i = 0; i < world.len; i++) {
		struct thing *t = &world.things[i];

		if (t->kind == THING_TAG && t->repo == r &&
		    strcmp(t->name, tag) == 0)
			return t;
	}
	return NULL;
}

static struct thing *thing_add(enum thing_kind kind, const struct repo *r,
			       const struct digest *d)
{
	struct thing *t = &world.things[world.len++];

	assert_true(world.len < THINGS_MAX);
	*t = (struct thing){.kind = kind, .repo = r, .digest = *d};
	return t;
}

static bool is_there(enum thing_kind kind, const struct repo *r,
		     const struct digest *d)
{
	const struct thing *t = thing_find(kind, r, d);

	return t && !t->hidden;
}

static struct repo *repo_of(struct registry *r, const char *name)
{
	for (size_t i = 0; i < world.repos_len; i++)
		if ((struct registry *)&world == r &&
		    strcmp(world.repos[i].name, name) == 0)
			return &world.repos[i];
	fail_msg("no such repository: %s", name);
	return NULL;
}

static void know(const struct repo *r, const struct digest *d)
{
	assert_true(world.known_len < THINGS_MAX);
	world.known[world.known_len].repo = r;
	world.known[world.known_len++].digest = *d;
}

/* --- repositories --- */

UNUSED static struct repo *repo_make(const char *name)
{
	struct repo *r = &world.repos[world.repos_len++];

	snprintf(r->host, sizeof(r->host), "reg.example.com");
	snprintf(r->name, sizeof(r->name), "%s", name);
	return r;
}

int repo_open(struct content *c, const char *host, const char *name,
	      struct repo **ret)
{
	if (world.open_error)
		return world.open_error;
	*ret = repo_ref(repo_of((struct registry *)&world, name));
	return 0;
}

struct repo *repo_ref(struct repo *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void repo_unref(struct repo *r)
{
	if (r)
		assert_true(atomic_fetch_sub(&r->refs, 1) > 0);
}

const char *repo_host(const struct repo *r)
{
	return r->host;
}

const char *repo_name(const struct repo *r)
{
	return r->name;
}

struct registry *repo_registry(struct repo *r)
{
	return (struct registry *)&world;
}

/* --- files at hand --- */

struct feed *feed_ref(struct feed *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}

void feed_unref(struct feed *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
		return;
	free(f->bytes);
	free(f);
}

bool feed_ended(const struct feed *f)
{
	return f->ended;
}

uint64_t feed_size(const struct feed *f)
{
	return f->len;
}

int feed_read_whole(struct feed *f, size_t max, char **ret, size_t *ret_len)
{
	if (f->len > max)
		return -EFBIG;
	*ret = malloc(f->len + 1);
	assert_non_null(*ret);
	memcpy(*ret, f->bytes, f->len);
	(*ret)[f->len] = '\0';
	*ret_len = f->len;
	return 0;
}

UNUSED static struct feed *feed_make(const char *bytes, size_t len)
{
	struct feed *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	atomic_init(&f->refs, 1);
	f->bytes = malloc(len + 1);
	assert_non_null(f->bytes);
	memcpy(f->bytes, bytes, len);
	f->len = len;
	f->ended = true;
	return f;
}

UNUSED static struct feed *hand_add(const char *bytes, struct digest *ret)
{
	struct feed *f = feed_make(bytes, strlen(bytes));

	digest_of(HASH_SHA256, bytes, strlen(bytes), ret);
	pthread_mutex_lock(&world.lock);
	world.hand_digest[world.hand_len] = *ret;
	world.hand[world.hand_len++] = f;
	pthread_mutex_unlock(&world.lock);
	return f;
}

UNUSED static int hand_find(void *arg, const struct digest *d,
			    struct feed **ret)
{
	int r = -ENOENT;

	pthread_mutex_lock(&world.lock);
	for (size_t i = 0; i < world.hand_len && r < 0; i++) {
		if (!world.hand[i] || !digest_equal(&world.hand_digest[i], d))
			continue;
		*ret = feed_ref(world.hand[i]);
		r = 0;
	}
	pthread_mutex_unlock(&world.lock);
	return r;
}

UNUSED static void hand_drop(const struct digest *d)
{
	for (size_t i = 0; i < world.hand_len; i++) {
		if (!digest_equal(&world.hand_digest[i], d))
			continue;
		feed_unref(world.hand[i]);
		world.hand[i] = NULL;
	}
}

/* --- setting up --- */

UNUSED static void world_start(void)
{
	memset(&world, 0, sizeof(world));
	pthread_mutex_init(&world.lock, NULL);
	log_set_level(LOG_LEVEL_ERROR);
	world.outbox.options = &world.options;
	assert_int_equal(turns_new(&world.outbox.turns), 0);
	world.outbox.times = (struct option_times){.commit_budget = 5000};
}

UNUSED static void world_stop(void)
{
	for (size_t i = 0; i < world.len; i++) {
		free(world.things[i].name);
		free(world.things[i].bytes);
		free(world.things[i].mediatype);
	}
	for (size_t i = 0; i < world.hand_len; i++)
		feed_unref(world.hand[i]);
	feed_unref(world.draft);
	for (size_t i = 0; i < world.repos_len; i++)
		assert_int_equal(atomic_load(&world.repos[i].refs), 0);
	assert_int_equal(atomic_load(&world.outbox.publications), 0);
	turns_free(world.outbox.turns);
	str_done(&world.log);
	pthread_mutex_destroy(&world.lock);
}

/* --- making images --- */

struct part {
	struct digest digest;
	size_t size;
	const char *type;
	char *bytes; /* of a document */
};

UNUSED static struct part part_of(const char *type, const char *bytes)
{
	struct part p = {.type = type, .size = strlen(bytes)};

	digest_of(HASH_SHA256, bytes, strlen(bytes), &p.digest);
	return p;
}

/* Known to be there. */
UNUSED static struct part blob_there(struct repo *r, const char *type,
				     const char *bytes)
{
	struct part p = part_of(type, bytes);

	pthread_mutex_lock(&world.lock);
	thing_add(THING_BLOB, r, &p.digest);
	know(r, &p.digest);
	pthread_mutex_unlock(&world.lock);
	return p;
}

static void add_part(struct str *s, const struct part *p)
{
	str_addf(s, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}",
		 p->type, text_of(&p->digest), p->size);
}

/* `more`: further members, as text. */
UNUSED static struct part document(const char *type, const struct part *config,
				   const struct part *v, size_t n,
				   const char *more)
{
	struct str s = {.max = 1 << 20};
	struct part p = {.type = type};

	str_addf(&s, "{\"schemaVersion\":2,\"mediaType\":\"%s\",", type);
	if (config) {
		str_add(&s, "\"config\":");
		add_part(&s, config);
		str_add(&s, ",\"layers\":[");
	} else {
		str_add(&s, "\"manifests\":[");
	}
	for (size_t i = 0; i < n; i++) {
		str_add(&s, i ? "," : "");
		add_part(&s, &v[i]);
	}
	str_addf(&s, "]%s}", more ? more : "");
	p.size = s.len;
	digest_of(HASH_SHA256, s.buf, s.len, &p.digest);
	p.bytes = str_steal(&s);
	return p;
}

UNUSED static void manifest_there(struct repo *r, const struct part *p)
{
	struct thing *t;

	pthread_mutex_lock(&world.lock);
	t = thing_add(THING_MANIFEST, r, &p->digest);
	t->bytes = strdup(p->bytes);
	t->len = p->size;
	t->mediatype = strdup(p->type);
	pthread_mutex_unlock(&world.lock);
}
