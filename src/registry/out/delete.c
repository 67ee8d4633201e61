/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing, by digest or by tag.  DELETE is asked again where its answer was
 * lost, so "it is not there" is what was wanted, if the registry is to be
 * believed.  A tag is never removed by way of its digest: that would take the
 * digest's other tags along (registries.md A.6).
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "oci/mediatype.h"
#include "oci/reference.h"
#include "registry/call.h"
#include "registry/catalog.h"
#include "registry/ecr.h"
#include "registry/fetch.h"
#include "registry/host.h"
#include "registry/object.h"
#include "registry/out/put.h"
#include "registry/there.h"
#include "registry/wire/redirect.h"
#include "util/auto.h"
#include "util/str.h"

struct deletion {
	struct registry *r;
	const char *repository;
	struct object o;
};

static int ask(const struct deletion *d, const char *method, const char *path,
	       struct wait *w, struct call **ret)
{
	const struct call_spec spec = {.method = method,
				       .path = path,
				       .repository = d->repository,
				       .scope = d->o.scope,
				       .object = d->o.name,
				       .accept = mediatype_accept()};

	return call_run(d->r, &spec, w, ret);
}

static int start(struct deletion *d, const char *kind, const char *reference)
{
	int e = object_init(&d->o, d->repository, kind, reference);

	if (e == 0)
		fetch_outdate(d->r, d->repository, reference);
	return e < 0 ? e : object_want(&d->o, d->repository, "pull,delete");
}

/* 0, or the refusal, not recorded yet. */
static int judge(struct call *c, struct wait *w)
{
	int status = call_status(c);
	int e;

	if (status >= 200 && status <= 299)
		return call_is_page(c) ? -EIO : 0;
	e = call_judge(c, w);
	return e == -ENOENT ? 0 : e;
}

static int refuse(struct call *c, struct wait *w)
{
	return call_status(c) < 300
		       ? call_broken(c, -EIO, "answers with a web page")
		       : call_fault(c, w);
}

/* What the registry had signed for it may be good for a while. */
static void forget_places(const struct deletion *d)
{
	static const char *const methods[] = {"HEAD", "GET"};

	for (size_t i = 0; i < 2; i++) {
		autofree char *key = str_printf("%s %s", methods[i], d->o.path);

		if (key)
			redirects_drop(d->r->redirects, key, NULL);
	}
}

/* Not offered; a vendor's API may do it.  1: it does not either. */
static int ask_vendor(const struct deletion *d, struct call *c, const char *tag,
		      const char *digest, struct wait *w)
{
	struct outcome out;
	int e = ecr_remove(d->r, d->repository, tag, digest, w, &out);

	if (e == -EOPNOTSUPP)
		return 1;
	if (e == 0)
		return 0;
	return e == -EINTR || e == -ENOMEM ? e
					   : call_broken(c, e, "%s", out.text);
}

static int delete_digest(struct registry *r, const char *repository,
			 const char *kind, const struct digest *digest,
			 struct wait *w)
{
	struct deletion d = {.r = r, .repository = repository};
	char text[DIGEST_TEXT_MAX];
	struct call *c = NULL;
	int e;

	digest_format(digest, text);
	e = start(&d, kind, text);
	if (e == 0)
		e = ask(&d, "DELETE", d.o.path, w, &c);
	if (e == 0) {
		e = judge(c, w);
		if (e < 0 && call_status(c) == 405 &&
		    strcmp(kind, "manifests") == 0)
			e = ask_vendor(&d, c, NULL, text, w);
		else if (e < 0)
			e = 1;
		if (e == 1)
			e = refuse(c, w);
		else if (e == 0)
			forget_places(&d);
		call_close(c);
	}
	object_done(&d.o);
	return e;
}

int delete_manifest(struct registry *r, const char *repository,
		    const struct digest *d, struct wait *w)
{
	return delete_digest(r, repository, "manifests", d, w);
}

int delete_blob(struct registry *r, const char *repository,
		const struct digest *d, struct wait *w)
{
	return delete_digest(r, repository, "blobs", d, w);
}

/* Tags are not deleted here; a valid one was called an invalid digest. */
static bool wants_digest(const struct call *c)
{
	const char *code = call_outcome(c)->code;

	return call_status(c) == 405 || strcasecmp(code, "UNSUPPORTED") == 0 ||
	       (call_status(c) == 400 &&
		(!*code || strcasecmp(code, "DIGEST_INVALID") == 0));
}

/* Some only look for a digest of that name, and do not find it. */
static int check_gone(const struct deletion *d, struct call *c, struct wait *w)
{
	struct call *head;
	bool is_there;
	int e = ask(d, "HEAD", d->o.path, w, &head);

	if (e < 0)
		return e;
	is_there = call_status(head) == 200;
	call_close(head);
	return is_there ? call_broken(c, -EPERM,
				      "it deletes by digest only, which would "
				      "take other tags along")
			: 0;
}

/* Azure takes one tag away at an address of its own (registries.md D.5). */
static int own_path(struct registry *r, const char *repository, const char *tag,
		    char **ret)
{
	autofree char *there = NULL;
	int e;

	if (catalog_find(r) != &catalog_acr)
		return 0;
	e = there_repository(r, repository, &there);
	if (e < 0)
		return e;
	*ret = str_printf("/acr/v1/%s/_tags/%s", there, tag);
	return *ret ? 0 : -ENOMEM;
}

int delete_tag(struct registry *r, const char *repository, const char *tag,
	       struct wait *w)
{
	struct deletion d = {.r = r, .repository = repository};
	autofree char *own = NULL;
	struct call *c = NULL;
	int e;

	if (!reference_is_tag(tag))
		return -EINVAL;
	e = start(&d, "manifests", tag);
	if (e == 0)
		e = own_path(r, repository, tag, &own);
	if (e == 0)
		e = ask(&d, "DELETE", own ? own : d.o.path, w, &c);
	if (e == 0) {
		e = judge(c, w);
		if (e < 0 && !own && wants_digest(c)) {
			e = ask_vendor(&d, c, tag, NULL, w);
			if (e == 1)
				e = call_broken(c, -EPERM,
						"it deletes by digest only, "
						"which would take other tags "
						"along (%s)",
						call_outcome(c)->code);
		} else if (e < 0)
			e = refuse(c, w);
		else if (call_status(c) == 404)
			e = check_gone(&d, c, w);
		call_close(c);
	}
	object_done(&d.o);
	return e;
}
