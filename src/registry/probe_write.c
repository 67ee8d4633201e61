/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May we push and delete here?  Found out by what a registry has to undo or
 * to refuse anyway: an upload session in which nothing is sent, a manifest by
 * a digest that nobody has seen the bytes of.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "registry/host.h"
#include "registry/location.h"
#include "registry/object.h"
#include "registry/probe_call.h"
#include "registry/push_form.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"

#define ANSWER_MAX ((uint64_t)1 << 20)
#define MIB ((uint64_t)1 << 20)
#define NOBODYS                                                                \
	"sha256:"                                                              \
	"0000000000000000000000000000000000000000000000000000000000000000"

/* Where the session is, if we would go there. */
static int take_session(struct registry *r, const struct call *c,
			struct probe_upload *u)
{
	const char *location = call_header(c, "location", 0);
	const char *least = call_header(c, "oci-chunk-min-length", 0);
	autofree char *base = NULL;
	unsigned long long n;
	const char *why = "";
	char *url = NULL;
	int e;

	if (!location)
		return probe_broken(&u->answer,
				    "it does not say where to upload");
	if (least && str_to_u64(least, INT64_MAX, &n) == 0)
		u->chunk_min_bytes = n;
	e = registry_base(r, &base);
	if (e == 0)
		e = push_location(call_url(c), location, r->peer, &url, &why);
	if (e == 0)
		e = push_location_judge(base, url, r->cfg->allow, &why);
	if (e == 0) {
		u->session = url;
		return 0;
	}
	token_forget(url);
	if (e == -ENOMEM)
		return e;
	probe_broken(&u->answer, "");
	snprintf(u->answer.text, sizeof(u->answer.text),
		 "its upload location %s", why);
	return 0;
}

int probe_upload(struct registry *r, const char *repository, struct wait *w,
		 struct probe_upload *ret)
{
	autofree char *path = str_printf("/v2/%s/blobs/uploads/", repository);
	autofree char *scope =
		str_printf("repository:%s:pull,push", repository);
	autofree char *object = str_printf("%s/_blobs", repository);
	const struct call_spec spec = {.method = "POST",
				       .path = path,
				       .repository = repository,
				       .scope = scope,
				       .object = object,
				       .max_body_bytes = ANSWER_MAX,
				       .once = true};
	struct probe_upload u = {.session = NULL};
	struct call *c;
	int e;

	if (!path || !scope || !object)
		return -ENOMEM;
	e = probe_call(r, &spec, w, &u.answer, &c);
	if (e == 0 && c && call_status(c) == 202)
		e = take_session(r, c, &u);
	call_close(c);
	*ret = u;
	return e;
}

int probe_upload_end(struct registry *r, const char *repository, struct wait *w,
		     struct probe_upload *u)
{
	/* As push_cancel: ending one is a deletion. */
	autofree char *scope =
		str_printf("repository:%s:delete,pull,push", repository);
	autofree char *object = str_printf("%s/_blobs", repository);
	const struct call_spec spec = {.method = "DELETE",
				       .location = u->session,
				       .repository = repository,
				       .scope = scope,
				       .object = object,
				       .max_body_bytes = ANSWER_MAX,
				       .once = true};
	struct call *c = NULL;
	int e = -ENOMEM;

	if (scope && object)
		e = probe_call(r, &spec, w, &u->answer, &c);
	call_close(c);
	token_forget(u->session);
	u->session = NULL;
	return e;
}

int probe_upload_forms(struct registry *r, struct str *out)
{
	struct push_habits h;
	int e;

	push_habits_init(&h, r->host);
	e = str_add(out, h.wants_whole ? "whole blobs in one PUT"
				       : "small blobs in one PUT, others "
					 "streamed by PATCH");
	if (e == 0 && h.no_chunks)
		e = str_add(out, ", never in chunks");
	else if (e == 0 && h.chunk_min_bytes && h.chunk_max_bytes)
		e = str_addf(out, ", chunks of %" PRIu64 " to %" PRIu64 " MiB",
			     h.chunk_min_bytes / MIB, h.chunk_max_bytes / MIB);
	else if (e == 0 && h.chunk_max_bytes)
		e = str_addf(out, ", chunks of up to %" PRIu64 " MiB",
			     h.chunk_max_bytes / MIB);
	return e;
}

int probe_delete(struct registry *r, const char *repository, struct wait *w,
		 struct probe *ret)
{
	struct call_spec spec = {.method = "DELETE",
				 .repository = repository,
				 .max_body_bytes = ANSWER_MAX,
				 .once = true};
	struct call *c = NULL;
	struct object o;
	int e = object_init(&o, repository, "manifests", NOBODYS);

	if (e == 0)
		e = object_want(&o, repository, "pull,delete");
	if (e == 0) {
		spec.path = o.path;
		spec.scope = o.scope;
		spec.object = o.name;
		e = probe_call(r, &spec, w, ret, &c);
	}
	call_close(c);
	object_done(&o);
	return e;
}
