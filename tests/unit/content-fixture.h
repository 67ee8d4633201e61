/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Two scripted registries that hold what a test puts into them, and a content
 * with a store in a temporary directory (or in memory) that reads from them.
 */
#include "scripted.h"

#include <errno.h>
#include <sys/stat.h>

#include "config/allow.h"
#include "content/blob.h"
#include "content/content.h"
#include "content/context.h"
#include "oci/mediatype.h"
#include "store/chunk.h"
#include "store/rows.h"

#define THINGS_MAX 64
#define TAGS "tags/list"
#define REPO "team/app"

/* One object of a registry; a manifest's reference may be a tag. */
struct thing {
	const char *repository, *kind, *type;
	char reference[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	const char *body;
	size_t len;
};

struct site {
	struct thing things[THINGS_MAX]; /* protected by the server's lock */
	size_t len;
	/* Set between requests, or atomic. */
	bool ignores_range;
	int status; /* instead of anything else, if not 0 */
	atomic_bool hold_blobs, hold_manifests, spoil;
	atomic_ullong sent; /* bytes of blobs */
	/* True: it has answered. */
	bool (*hook)(struct site *site, const struct request *q,
		     struct reply *p);
	unsigned state; /* of the hook */
};

struct fixture {
	struct client c; /* first: the servers know it as theirs */
	struct site here, there;
	struct options options;
	struct store *store;
	struct allow *allow;
	struct content *content;
	struct repo *repo;  /* REPO here */
	struct repo *other; /* another repository here */
	struct repo *away;  /* REPO there */
	void *heap[THINGS_MAX];
	size_t heap_len;
};

/* --- what the registries say --- */

static struct thing *site_find(struct site *site, const char *repository,
			       size_t repository_len, const char *kind,
			       const char *reference)
{
	for (size_t i = 0; i < site->len; i++) {
		struct thing *t = &site->things[i];

		if (strncmp(t->repository, repository, repository_len) == 0 &&
		    !t->repository[repository_len] &&
		    strcmp(t->kind, kind) == 0 &&
		    (strcmp(t->reference, reference) == 0 ||
		     strcmp(t->digest, reference) == 0))
			return t;
	}
	return NULL;
}

static void give_blob(struct site *site, const struct thing *t,
		      const struct request *q, struct reply *p)
{
	static char junk[1 << 20];
	unsigned long long a = 0, b = t->len ? t->len - 1 : 0;
	bool head = strcmp(q->method, "HEAD") == 0;
	char value[4096];
	bool range;

	range = !site->ignores_range && head_value(q->head, "Range", value) &&
		sscanf(value, "bytes=%llu-%llu", &a, &b) == 2;
	p->status = range ? 206 : 200;
	p->body = t->body + a;
	p->len = t->len ? b - a + 1 : 0;
	if (range)
		add_head(p, "Content-Range: bytes %llu-%llu/%zu", a, b, t->len);
	if (atomic_load(&site->spoil) && p->len <= sizeof(junk))
		p->body = junk;
	if (head)
		return;
	atomic_fetch_add(&site->sent, p->len);
	p->hold = &site->hold_blobs;
}

static void give_manifest(struct site *site, const struct thing *t,
			  struct reply *p)
{
	p->status = 200;
	p->body = t->body;
	p->len = t->len;
	p->hold = &site->hold_manifests;
	add_head(p, "Content-Type: %s", t->type);
	add_head(p, "Docker-Content-Digest: %s", t->digest);
}

static void site_answer(struct scripted *s, const struct request *q,
			struct reply *p)
{
	struct fixture *f = s->arg;
	struct site *site = s == &f->c.s ? &f->here : &f->there;
	const char *path = q->target + strlen("/v2/"), *kind;
	const struct thing *t = NULL;

	add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (site->status) {
		refuse(p, site->status, "DENIED");
		return;
	}
	if (site->hook && site->hook(site, q, p))
		return;
	if (strcmp(q->target, "/v2/") == 0) {
		say(p, 200, "{}");
		return;
	}
	if ((kind = strstr(path, "/blobs/")))
		t = site_find(site, path, (size_t)(kind - path), "blobs",
			      kind + strlen("/blobs/"));
	else if ((kind = strstr(path, "/manifests/")))
		t = site_find(site, path, (size_t)(kind - path), "manifests",
			      kind + strlen("/manifests/"));
	if (!t)
		refuse(p, 404, "NAME_UNKNOWN");
	else if (strcmp(t->kind, "blobs") == 0)
		give_blob(site, t, q, p);
	else
		give_manifest(site, t, p);
}

/* --- filling them --- */

UNUSED static void *keep(struct fixture *f, void *bytes)
{
	assert_non_null(bytes);
	assert_true(f->heap_len < COUNT(f->heap));
	f->heap[f->heap_len++] = bytes;
	return bytes;
}

static struct scripted *server_of(struct fixture *f, struct site *site)
{
	return site == &f->here ? &f->c.s : &f->c.other;
}

UNUSED static void put(struct fixture *f, struct site *site, struct thing thing,
		       struct digest *ret)
{
	struct digest d;

	digest_of(HASH_SHA256, thing.body, thing.len, &d);
	digest_format(&d, thing.digest);
	pthread_mutex_lock(&server_of(f, site)->lock);
	assert(site->len < THINGS_MAX);
	site->things[site->len++] = thing;
	pthread_mutex_unlock(&server_of(f, site)->lock);
	if (ret)
		*ret = d;
}

UNUSED static void put_blob(struct fixture *f, struct site *site,
			    const char *repository, const char *body,
			    size_t len, struct digest *ret)
{
	put(f, site,
	    (struct thing){.repository = repository,
			   .kind = "blobs",
			   .body = body,
			   .len = len},
	    ret);
}

/* `body` must live as long as the fixture. */
UNUSED static void put_manifest(struct fixture *f, struct site *site,
				const char *repository, const char *type,
				const char *body, struct digest *ret)
{
	put(f, site,
	    (struct thing){.repository = repository,
			   .kind = "manifests",
			   .type = type,
			   .body = body,
			   .len = strlen(body)},
	    ret);
}

/* Lets a tag name a manifest; it may move. */
UNUSED static void put_tag(struct fixture *f, struct site *site,
			   const char *repository, const char *tag,
			   const char *type, const char *body,
			   struct digest *ret)
{
	struct thing t = {.repository = repository,
			  .kind = "manifests",
			  .type = type,
			  .body = body,
			  .len = strlen(body)};
	struct thing *old;

	put_manifest(f, site, repository, type, body, ret);
	snprintf(t.reference, sizeof(t.reference), "%s", tag);
	pthread_mutex_lock(&server_of(f, site)->lock);
	old = site_find(site, repository, strlen(repository), "manifests", tag);
	if (old)
		old->reference[0] = '\0';
	pthread_mutex_unlock(&server_of(f, site)->lock);
	put(f, site, t, NULL);
}

/* The registry has never heard of it. */
UNUSED static void take_away(struct fixture *f, struct site *site,
			     const char *reference)
{
	pthread_mutex_lock(&server_of(f, site)->lock);
	for (size_t i = 0; i < site->len; i++)
		if (strcmp(site->things[i].reference, reference) == 0 ||
		    strcmp(site->things[i].digest, reference) == 0)
			site->things[i].kind = "gone";
	pthread_mutex_unlock(&server_of(f, site)->lock);
}

/* Bytes that do not repeat. */
UNUSED static char *random_bytes(struct fixture *f, size_t len, unsigned seed)
{
	char *bytes = keep(f, malloc(len));
	uint64_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (char)(x >> 56);
	}
	return bytes;
}

/* --- the reading side --- */

static void content_start(struct fixture *f)
{
	struct content_config cfg = {.options = &f->options,
				     .registries = f->c.all,
				     .store = f->store,
				     .allow = f->allow,
				     .faults = f->c.faults};

	assert_int_equal(content_new(&cfg, &f->content), 0);
	assert_int_equal(repo_open(f->content, f->c.s.host, REPO, &f->repo), 0);
	assert_int_equal(
		repo_open(f->content, f->c.s.host, "other/app", &f->other), 0);
	assert_int_equal(repo_open(f->content, f->c.other.host, REPO, &f->away),
			 0);
}

static void content_stop(struct fixture *f)
{
	repo_unref(f->repo);
	repo_unref(f->other);
	repo_unref(f->away);
	content_free(f->content);
}

/* As after a new mount: only what is in the store is left. */
UNUSED static void content_restart(struct fixture *f)
{
	content_stop(f);
	content_start(f);
}

UNUSED static struct fixture *fixture_new(bool disk)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_config cfg = {.size_bytes = (uint64_t)1 << 30,
				   .spool_bytes = (uint64_t)1 << 30};
	char dir[128];

	assert_non_null(f);
	client_start(&f->c, site_answer, site_answer);
	snprintf(dir, sizeof(dir), "%s/cache", f->c.home);
	cfg.dir = disk ? dir : NULL;
	assert_int_equal(store_open(&cfg, &f->store, NULL), 0);
	f->options = (struct options){.timeout_s = 2,
				      .tag_ttl_s = 60,
				      .max_threads = 128,
				      .prefetch = 4 << 20,
				      .cache_size = (uint64_t)1 << 30,
				      .has_platform = true};
	assert_int_equal(platform_parse("linux/amd64", &f->options.platform),
			 0);
	assert_int_equal(allow_new(&f->options, f->c.auth, &f->allow), 0);
	content_start(f);
	return f;
}

UNUSED static void fixture_free(struct fixture *f)
{
	atomic_store(&f->here.hold_blobs, false);
	atomic_store(&f->here.hold_manifests, false);
	atomic_store(&f->there.hold_blobs, false);
	atomic_store(&f->there.hold_manifests, false);
	content_stop(f);
	allow_free(f->allow);
	store_close(f->store);
	client_stop(&f->c);
	for (size_t i = 0; i < f->heap_len; i++)
		free(f->heap[i]);
	free(f);
}

/* Reads by open, read, close; returns what read did. */
UNUSED static ssize_t read_blob(struct repo *repo, const struct digest *d,
				uint64_t size, void *buf, size_t len,
				uint64_t off)
{
	struct blob *b;
	struct wait w;
	ssize_t n;
	int r;

	wait_init(&w, 5000, 0);
	r = blob_open(repo, d, size, &b);
	if (r < 0)
		return r;
	n = blob_read(b, NULL, buf, len, off, &w);
	blob_unref(b);
	return n;
}

/* Waits (not for ever) until so many requests contain the text. */
UNUSED static void wait_asked(struct scripted *s, const char *text, unsigned n)
{
	for (int i = 0; i < 3000 && asked(s, text) < n; i++)
		usleep(1000);
	assert_true(asked(s, text) >= n);
}
