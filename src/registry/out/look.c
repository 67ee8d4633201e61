/* SPDX-License-Identifier: Apache-2.0 */
/* Only a digest, or the bytes themselves, say whose a manifest is; a status of
 * 200 may be the old one's. */
#include "registry/out/look.h"

#include <errno.h>
#include <string.h>

#include "oci/manifest.h"
#include "registry/call.h"
#include "util/auto.h"
#include "util/metric.h"

static int ask(struct registry *r, const struct put_manifest *p,
	       const struct object *o, const char *method, struct wait *w,
	       struct call **ret, struct outcome *out)
{
	autostr accept = {.len = 0};
	int e = 0;

	/* What is not in the list might be kept from us, or converted. */
	if (!mediatype_known(p->mediatype))
		e = str_addf(&accept, "%s, ", p->mediatype);
	if (e == 0)
		e = str_add(&accept, mediatype_accept());
	if (e < 0)
		return e;
	const struct call_spec spec = {.method = method,
				       .path = o->path,
				       .repository = p->repository,
				       .scope = o->scope,
				       .object = o->name,
				       .accept = accept.buf,
				       .max_body_bytes = MANIFEST_BYTES_MAX,
				       .document = strcmp(method, "GET") == 0,
				       .silent = out};

	if (spec.document)
		metric_add(METRIC_MANIFEST_GETS, 1);
	return call_run(r, &spec, w, ret);
}

static enum look not_ours(const struct put_manifest *p,
			  const struct digest *have)
{
	return p->before && digest_equal(have, p->before) ? LOOK_BEFORE
							  : LOOK_OTHER;
}

/* The registry may know it by another algorithm than we do. */
static bool is_ours(const struct put_manifest *p, const struct digest *have)
{
	struct digest same;

	if (have->alg == p->digest->alg)
		return digest_equal(have, p->digest);
	digest_of(have->alg, p->bytes, p->len, &same);
	return digest_equal(have, &same);
}

enum look look_said(const struct call *c, const struct put_manifest *p)
{
	const char *s = call_header(c, "docker-content-digest", 0);
	struct digest d;

	if (!s || digest_parse(s, &d) < 0)
		return LOOK_UNKNOWN;
	return is_ours(p, &d) ? LOOK_OURS : not_ours(p, &d);
}

static enum look by_status(const struct call *c, struct outcome *out)
{
	*out = *call_outcome(c);
	switch (call_status(c)) {
	case 401:
	case 403:
		return LOOK_REFUSED;
	case 404:
	case 410:
		return LOOK_ABSENT;
	default:
		return LOOK_UNKNOWN;
	}
}

static enum look by_bytes(const struct call *c, const struct put_manifest *p)
{
	size_t len;
	const char *body = call_body(c, &len);
	struct digest d;

	if (len == p->len && memcmp(body, p->bytes, len) == 0)
		return LOOK_OURS;
	if (!p->before)
		return LOOK_OTHER;
	digest_of(p->before->alg, body, len, &d);
	return not_ours(p, &d);
}

/* HEAD is not offered, or says too little. */
static bool wants_get(int status, enum look l)
{
	return status == 400 || status == 405 || status == 406 ||
	       status == 411 || status == 501 ||
	       (status == 200 && l == LOOK_UNKNOWN);
}

static int failed(int e, enum look *ret)
{
	if (e == -EINTR || e == -ENOMEM || e == -ETIMEDOUT)
		return e;
	*ret = e == -EACCES ? LOOK_REFUSED : LOOK_UNKNOWN;
	return 0;
}

int look_at(struct registry *r, const struct put_manifest *p,
	    const struct object *o, struct wait *w, enum look *ret,
	    struct outcome *out)
{
	struct call *c;
	enum look found;
	bool get;
	int e = ask(r, p, o, "HEAD", w, &c, out);

	if (e < 0)
		return failed(e, ret);
	found = call_status(c) == 200 ? look_said(c, p) : by_status(c, out);
	get = wants_get(call_status(c), found);
	call_close(c);
	if (get) {
		e = ask(r, p, o, "GET", w, &c, out);
		if (e < 0)
			return failed(e, ret);
		found = call_status(c) == 200 ? by_bytes(c, p)
					      : by_status(c, out);
		call_close(c);
	}
	*ret = found;
	return 0;
}
