/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of referrers where the registry keeps none (distribution-spec
 * "Referrers Tag Schema"): a tag that everybody reads, changes and puts back.
 *
 *   get -> as wanted                                   done
 *       -> spliced, put (If-Match, if there is an ETag)
 *            confirmed                                 done
 *            somebody else was there                   get again
 *
 * Within a mount only one at a time does this per host, so that its own
 * uploads do not race.  What is not ours is kept byte for byte.  An index that
 * becomes empty stays, as an empty index: deleting its tag could not be tied to
 * what was read, and might take away what another has just added.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/manifest.h"
#include "registry/call.h"
#include "registry/host.h"
#include "registry/object.h"
#include "registry/out/put.h"
#include "registry/out/put_shared.h"
#include "registry/out/splice.h"
#include "registry/referrers.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/metric.h"

#define ROUNDS_MAX 6
#define EMPTY_INDEX                                                            \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX            \
	"\",\"manifests\":[]}"

struct edit {
	struct registry *r;
	const char *repository;
	char *tag;
	struct object o;
	const struct descriptor *add; /* or NULL */
	const struct digest *digest;  /* what it is about */

	/* What was read. */
	char *etag; /* or NULL */
	char mediatype[MEDIATYPE_MAX + 1];
	struct str doc;
	struct json *json;
	struct splice list;
};

static void forget(struct edit *e)
{
	json_free(e->json);
	e->json = NULL;
	free(e->etag);
	e->etag = NULL;
	str_clear(&e->doc);
}

/* --- reading --- */

static int read_document(struct edit *e, const char *bytes, size_t len)
{
	int r = str_addn(&e->doc, bytes, len);

	if (r == 0)
		r = json_parse(e->doc.buf, e->doc.len, MANIFEST_BYTES_MAX,
			       &e->json, NULL);
	return r < 0 ? r
		     : splice_find(&e->list, e->doc.buf, e->doc.len,
				   "manifests");
}

/* The type it is put back with. */
static void read_type(struct edit *e, const char *type)
{
	const char *own = json_string(json_find(e->json, "mediaType"));

	if (mediatype_is_generic(type))
		type = own ? own : MEDIATYPE_OCI_INDEX;
	snprintf(e->mediatype, sizeof(e->mediatype), "%.*s",
		 (int)strcspn(type, "; "), type);
}

static int read_answer(struct edit *e, struct call *c)
{
	const char *type = call_header(c, "content-type", 0);
	const char *etag = call_header(c, "etag", 0);
	const char *said = call_header(c, "docker-content-digest", 0);
	struct digest want, have;
	const char *body;
	size_t len;
	int r;

	body = call_body(c, &len);
	if (said && digest_parse(said, &want) == 0) {
		digest_of(want.alg, body, len, &have);
		if (!digest_equal(&want, &have))
			return call_broken(c, -EIO, "is not its digest");
	}
	r = read_document(e, body, len);
	if (r == -ENOMEM)
		return r;
	if (r == 0)
		read_type(e, type ? type : "");
	/* Something else has that name: it is not ours to replace. */
	if (r < 0 || mediatype_class(e->mediatype) != MEDIATYPE_INDEX)
		return call_broken(c, -EIO, "the tag holds no index");
	/* A weak one never matches (RFC 9110 13.1.1). */
	if (etag && !str_prefix(etag, "W/")) {
		e->etag = strdup(etag);
		r = e->etag ? 0 : -ENOMEM;
	}
	return r;
}

static int get(struct edit *e, struct wait *w)
{
	const struct call_spec spec = {.method = "GET",
				       .path = e->o.path,
				       .repository = e->repository,
				       .scope = e->o.scope,
				       .object = e->o.name,
				       .accept = MEDIATYPE_OCI_INDEX
				       ", " MEDIATYPE_DOCKER_LIST,
				       .max_body_bytes = MANIFEST_BYTES_MAX,
				       .document = true};
	struct call *c;
	int r;

	forget(e);
	metric_add(METRIC_MANIFEST_GETS, 1);
	r = call_run(e->r, &spec, w, &c);
	if (r < 0)
		return r;
	if (call_status(c) == 200)
		r = read_answer(e, c);
	else
		r = call_fault(c, w);
	call_close(c);
	if (r == -ENOENT) {
		r = read_document(e, EMPTY_INDEX, strlen(EMPTY_INDEX));
		read_type(e, "");
	}
	return r;
}

/* Where it is in the list; -1: nowhere. */
static ssize_t find(const struct edit *e)
{
	const struct json *list = json_find(e->json, "manifests");
	struct digest d;

	for (size_t i = 0; i < e->list.items; i++) {
		const char *s =
			json_string(json_find(json_at(list, i), "digest"));

		if (s && digest_parse(s, &d) == 0 &&
		    digest_equal(&d, e->digest))
			return (ssize_t)i;
	}
	return -1;
}

/* --- writing --- */

static int append(struct edit *e, struct str *out)
{
	autostr item = {.max = MANIFEST_BYTES_MAX};
	int r;

	/* More than this nobody here would read again. */
	if (e->list.items >= MANIFEST_CHILDREN_MAX)
		return -EFBIG;
	r = descriptor_print(e->add, &item);
	return r < 0 ? r : splice_append(&e->list, item.buf, out);
}

/* 1: the document is as it should be. */
static int change(struct edit *e, struct str *out)
{
	ssize_t at = find(e);
	int r;

	if ((at >= 0) == (e->add != NULL))
		return 1;
	if (e->add)
		return append(e, out);
	r = splice_remove(&e->list, (size_t)at, out);
	while (r == 0) {
		/* Once more, for who did not look before adding. */
		json_free(e->json);
		e->json = NULL;
		str_clear(&e->doc);
		r = read_document(e, out->buf, out->len);
		at = r == 0 ? find(e) : -1;
		if (at < 0)
			break;
		str_clear(out);
		r = splice_remove(&e->list, (size_t)at, out);
	}
	return r;
}

static int too_large(struct edit *e)
{
	struct outcome out = {.error = 0};

	outcome_set(&out, -EFBIG, "its index of referrers is full");
	registry_fault(e->r, e->o.name, &out);
	return out.error;
}

/* 1: done; 0: once more. */
static int try_once(struct edit *e, struct wait *w)
{
	autostr out = {.max = MANIFEST_BYTES_MAX};
	struct digest digest;
	int r = get(e, w);

	if (r == 0)
		r = change(e, &out);
	if (r == -EFBIG)
		return too_large(e);
	if (r != 0)
		return r;
	digest_of(HASH_SHA256, out.buf, out.len, &digest);
	const struct put_manifest put = {.repository = e->repository,
					 .reference = e->tag,
					 .digest = &digest,
					 .mediatype = e->mediatype,
					 .bytes = out.buf,
					 .len = out.len};

	r = put_shared(e->r, &put, e->etag, w);
	if (r == -ESTALE)
		return 0;
	return r < 0 ? r : 1;
}

static int lost(struct edit *e)
{
	struct outcome out = {.error = 0};

	outcome_set(&out, -EIO, "others keep changing it");
	registry_fault(e->r, e->o.name, &out);
	return out.error;
}

static int try(struct edit *e, struct wait *w)
{
	unsigned base = e->r->cfg->times.retry_base;

	for (unsigned n = 0; n < ROUNDS_MAX; n++) {
		int r = try_once(e, w);

		if (r != 0)
			return r < 0 ? r : 0;
		/* Unequal pauses, or two would meet again and again. */
		r = wait_sleep(w, (clock_ms() * 7919 + n * 31) %
					  ((base ? base : 500) + 1));
		if (r < 0)
			return r;
	}
	return lost(e);
}

/* --- one at a time --- */

static int begin(struct registry *r, struct wait *w)
{
	autolock(&r->lock);
	while (r->indexing) {
		int e = wait_cond(w, &r->learned, &r->lock);

		if (e < 0)
			return e;
	}
	r->indexing = true;
	return 0;
}

static void end(struct registry *r)
{
	autolock(&r->lock);
	r->indexing = false;
	pthread_cond_broadcast(&r->learned);
}

static int edit(struct registry *registry, const char *repository,
		const struct digest *subject, const struct descriptor *add,
		const struct digest *digest, struct wait *w)
{
	struct edit *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->r = registry;
	e->repository = repository;
	e->doc.max = MANIFEST_BYTES_MAX;
	e->add = add;
	e->digest = digest;
	e->tag = referrers_tag(subject);
	r = e->tag ? object_init(&e->o, e->repository, "manifests", e->tag)
		   : -ENOMEM;
	if (r == 0)
		r = object_want(&e->o, e->repository, "pull,push");
	if (r == 0)
		r = begin(e->r, w);
	if (r == 0) {
		r = try(e, w);
		end(e->r);
	}
	forget(e);
	str_done(&e->doc);
	object_done(&e->o);
	free(e->tag);
	free(e);
	return r;
}

int referrers_add(struct registry *r, const char *repository,
		  const struct digest *subject, const struct descriptor *d,
		  struct wait *w)
{
	return edit(r, repository, subject, d, &d->digest, w);
}

int referrers_remove(struct registry *r, const char *repository,
		     const struct digest *subject, const struct digest *d,
		     struct wait *w)
{
	return edit(r, repository, subject, NULL, d, w);
}
