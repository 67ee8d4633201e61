/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, and what HEAD tells.  A document counts only after it was hashed
 * as it came; what headers say of it is a hint that must not contradict
 * (faults.md A16).
 */
#include "registry/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/call.h"
#include "registry/host.h"
#include "registry/mirror.h"
#include "registry/object.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/json.h"
#include "util/log.h"
#include "util/metric.h"

/* mediatype_accept() for servers that only compare: no weights, no wildcard,
 * but application/json (old Artifactory). */
static int plain_accept(struct str *out)
{
	const char *p = mediatype_accept();
	int r = 0;

	while (*p && r == 0) {
		size_t n = strcspn(p, ","), type = strcspn(p, ";,");

		while (type && p[type - 1] == ' ')
			type--;
		if (strncmp(p, "*/*", 3) != 0)
			r = str_addf(out, "%s%.*s", out->len ? ", " : "",
				     (int)type, p);
		p += n;
		p += strspn(p, ", ");
	}
	return r < 0 ? r : str_add(out, ", application/json");
}

/* "OCI index found, but accept header does not support OCI indexes". */
static bool is_about_types(const struct call *c)
{
	const char *text = call_outcome(c)->text;

	if (call_status(c) == 406)
		return true;
	return call_status(c) == 404 && (strcasestr(text, "accept header") ||
					 strcasestr(text, "media type") ||
					 strcasestr(text, "mediatype") ||
					 strcasestr(text, "client accepts"));
}

static int ask_manifest(struct registry *r, const struct object *o,
			const char *repository, const char *method,
			const char *accept, struct wait *w, struct call **ret)
{
	const struct call_spec spec = {.method = method,
				       .path = o->path,
				       .repository = repository,
				       .scope = o->scope,
				       .object = o->name,
				       .accept = accept,
				       .max_body_bytes = MANIFEST_BYTES_MAX,
				       .document = strcmp(method, "GET") == 0};

	if (spec.document)
		metric_add(METRIC_MANIFEST_GETS, 1);
	return call_run(r, &spec, w, ret);
}

static int get_manifest(struct registry *r, const struct object *o,
			const char *repository, struct wait *w,
			struct call **ret)
{
	autostr plain = {.max = 4096};
	int e = ask_manifest(r, o, repository, "GET", mediatype_accept(), w,
			     ret);

	if (e < 0 || !is_about_types(*ret))
		return e;
	call_close(*ret);
	*ret = NULL;
	e = plain_accept(&plain);
	return e < 0 ? e
		     : ask_manifest(r, o, repository, "GET", plain.buf, w, ret);
}

/* The digest the registry gives, if it is one that we know. */
static bool header_digest(const struct call *c, struct digest *ret)
{
	const char *s = call_header(c, "docker-content-digest", 0);

	return s && digest_parse(s, ret) == 0;
}

static int mismatch(struct call *c, const struct digest *want,
		    const struct digest *have)
{
	char a[24], b[24];

	metric_add(METRIC_DIGEST_MISMATCHES, 1);
	digest_short(want, a);
	digest_short(have, b);
	return call_broken(c, -EBADMSG, "is %s, not %s", b, a);
}

static int parse(struct call *c, const struct digest *want,
		 struct manifest **ret)
{
	struct json_error err = {""};
	struct manifest *m;
	struct digest got;
	const char *type = call_header(c, "content-type", 0);
	const char *body;
	size_t len;
	int e;

	body = call_body(c, &len);
	e = manifest_parse(body, len, type ? type : "",
			   want ? want->alg : HASH_SHA256, &m, &err);
	if (e == -ENOMEM)
		return e;
	/* -EBADMSG is kept for bytes that do not match their digest. */
	if (e < 0 && want) {
		digest_of(want->alg, body, len, &got);
		if (!digest_equal(&got, want) && !call_is_page(c))
			return mismatch(c, want, &got);
	}
	if (e < 0)
		return call_broken(c, e == -EFBIG ? e : -EIO,
				   "no usable manifest: %s", err.text);
	if (want && !digest_equal(&m->digest, want)) {
		e = mismatch(c, want, &m->digest);
		manifest_free(m);
		return e;
	}
	*ret = m;
	return 0;
}

int fetch_manifest_there(struct registry *r, const char *repository,
			 const char *tag_or_digest, struct wait *w,
			 struct manifest **ret)
{
	bool by_digest, known;
	struct digest want;
	struct object o;
	struct call *c = NULL;
	int e;

	e = object_init(&o, repository, "manifests", tag_or_digest);
	if (e < 0)
		return e;
	by_digest = digest_parse(tag_or_digest, &want) == 0;
	e = get_manifest(r, &o, repository, w, &c);
	object_done(&o);
	if (e < 0)
		return e;
	/* By tag the header is only checked; but it tells by which algorithm
	 * the registry will know the manifest again. */
	known = by_digest || header_digest(c, &want);
	if (call_status(c) == 200)
		e = parse(c, known ? &want : NULL, ret);
	else
		e = call_fault(c, w);
	call_close(c);
	return e;
}

int fetch_manifest(struct registry *r, const char *repository,
		   const char *tag_or_digest, struct wait *w,
		   struct manifest **ret)
{
	struct round o;
	int e = round_begin_for(&o, r, repository, tag_or_digest);

	if (e == 0) {
		do {
			round_enter(&o, w);
			e = fetch_manifest_there(o.registry, o.repository,
						 tag_or_digest, w, ret);
			round_leave(&o);
		} while (e < 0 && round_go_on(&o, e, w));
	}
	round_done(&o);
	return e;
}

static int resolve_by_get(struct registry *r, const char *repository,
			  const char *tag, struct wait *w,
			  struct fetch_resolved *ret)
{
	struct manifest *m;
	int e = fetch_manifest_there(r, repository, tag, w, &m);

	if (e < 0)
		return e;
	memset(ret, 0, sizeof(*ret));
	ret->digest = m->digest;
	ret->size_bytes = m->size_bytes;
	fault_copy(ret->mediatype, sizeof(ret->mediatype), m->mediatype);
	ret->manifest = m;
	return 0;
}

/* Only what can be taken at its word; a page of some proxy says 200, too. */
static bool read_head(const struct call *c, struct fetch_resolved *ret)
{
	const char *type = call_header(c, "content-type", 0);
	const char *length = call_header(c, "content-length", 0);
	unsigned long long size;

	if (!type || !length || !header_digest(c, &ret->digest) ||
	    !mediatype_is_document(mediatype_class(type)) ||
	    str_to_u64(length, MANIFEST_BYTES_MAX, &size) < 0 || size == 0)
		return false;
	ret->size_bytes = size;
	for (size_t i = 0;
	     i < MEDIATYPE_MAX && type[i] && type[i] != ';' && type[i] != ' ';
	     i++)
		ret->mediatype[i] = type[i];
	return true;
}

/* HEAD tells nothing certain: it is not offered, or it may be a proxy's. */
static bool is_head_useless(const struct call *c)
{
	const char *type = call_header(c, "content-type", 0);

	switch (call_status(c)) {
	case 404:
		return !call_header(c, "docker-distribution-api-version", 0) &&
		       type && strncasecmp(type, "text/html", 9) == 0;
	case 400:
	case 405:
	case 406:
	case 411:
	case 501:
		return true;
	default:
		return call_status(c) >= 200 && call_status(c) < 300;
	}
}

static int resolve_there(struct registry *r, const char *repository,
			 const char *tag, struct wait *w,
			 struct fetch_resolved *ret)
{
	struct fetch_resolved found = {.size_bytes = 0};
	bool get = false;
	struct object o;
	struct call *c;
	int e;

	e = object_init(&o, repository, "manifests", tag);
	if (e < 0)
		return e;
	e = ask_manifest(r, &o, repository, "HEAD", mediatype_accept(), w, &c);
	object_done(&o);
	if (e < 0)
		return e;
	if (call_status(c) == 200 && read_head(c, &found))
		*ret = found;
	else if (is_head_useless(c))
		get = true;
	else
		e = call_fault(c, w);
	call_close(c);
	return get ? resolve_by_get(r, repository, tag, w, ret) : e;
}

int fetch_resolve(struct registry *r, const char *repository, const char *tag,
		  struct wait *w, struct fetch_resolved *ret)
{
	struct round o;
	int e = round_begin_for(&o, r, repository, tag);

	if (e == 0) {
		do {
			round_enter(&o, w);
			e = resolve_there(o.registry, o.repository, tag, w,
					  ret);
			round_leave(&o);
		} while (e < 0 && round_go_on(&o, e, w));
	}
	round_done(&o);
	return e;
}
