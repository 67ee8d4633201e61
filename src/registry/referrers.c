/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The referrers API where there is one; where not, the index under the tag
 * that is made of the subject's digest.  A host that has no API answers in
 * many ways (a 404 page, a redirect to a web site), all of which mean the
 * same; only its trouble (5xx, 429, no answer) is no answer.
 */
#include "registry/referrers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"
#include "http/url.h"
#include "registry/call.h"
#include "registry/fetch.h"
#include "registry/host.h"
#include "registry/object.h"
#include "registry/there.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/json.h"
#include "util/vec.h"

#define PAGES_MAX 100

struct referrers {
	VEC(struct descriptor) list;
};

void referrers_free(struct descriptor *v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		descriptor_done(&v[i]);
	free(v);
}

static int add_children(struct referrers *f, const struct manifest *m)
{
	struct descriptor d;
	int e = 0;

	for (size_t i = 0; e == 0 && i < m->children_len; i++) {
		if (f->list.len >= REFERRERS_MAX)
			return -EFBIG;
		e = descriptor_copy(&m->children[i], &d);
		if (e < 0)
			break;
		e = vec_push(&f->list, d);
		if (e < 0)
			descriptor_done(&d);
	}
	return e;
}

/* --- the API --- */

static int ask(struct registry *r, const struct object *o,
	       const char *repository, const char *path, struct wait *w,
	       struct call **ret)
{
	const struct call_spec spec = {.method = "GET",
				       .path = path,
				       .repository = repository,
				       .scope = o->scope,
				       .object = o->name,
				       .accept = MEDIATYPE_OCI_INDEX,
				       .max_body_bytes = MANIFEST_BYTES_MAX,
				       .document = true,
				       .stay = true};

	return call_run(r, &spec, w, ret);
}

/* Neither a document nor a page, or a list with something wrong in it: that
 * does not say that there are none. */
static bool is_broken(const char *body, size_t len)
{
	const struct json *list = NULL;
	struct json *doc = NULL;
	int e = json_parse_lenient(body, len, MANIFEST_BYTES_MAX, &doc, NULL);
	bool is_list;

	if (e < 0)
		return !fault_is_html(body, len);
	is_list = json_is_object(doc) &&
		  json_opt_array(doc, "manifests", &list, NULL) == 0 && list;
	json_free(doc);
	return is_list;
}

/* 1: that is an index, added to f; 0: another kind of thing. */
static int take_page(struct call *c, struct referrers *f)
{
	const char *type = call_header(c, "content-type", 0);
	struct json_error err = {""};
	struct manifest *m;
	const char *body;
	size_t len;
	int e;

	body = call_body(c, &len);
	e = manifest_parse_referrers(body, len, type ? type : "", &m, &err);
	if (e == -ENOMEM)
		return e;
	if (e < 0 && type && mediatype_class(type) == MEDIATYPE_INDEX &&
	    is_broken(body, len))
		return call_broken(c, -EIO, "no usable index: %s", err.text);
	if (e < 0)
		return 0;
	e = m->class == MEDIATYPE_INDEX ? add_children(f, m) : 0;
	if (e == 0)
		e = m->class == MEDIATYPE_INDEX;
	manifest_free(m);
	return e;
}

/* Path and query of the next page, on the same list; NULL: there is none. */
static int next_path(struct registry *registry, const struct call *c,
		     const struct object *o, char **ret)
{
	const char *value = call_header(c, "link", 0);
	autofree char *link = NULL;
	autofree char *absolute = NULL;
	autofree char *path = NULL;
	struct url u;
	int r;

	*ret = NULL;
	if (!value || header_parse_link_next(value, &link) < 0 || !link)
		return 0;
	r = url_resolve(call_url(c), link, &absolute);
	if (r == 0)
		r = url_parse(absolute, &u);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = here_path(registry, u.path, &path);
	if (r == 0 && strcmp(path, o->path) == 0 && u.query) {
		*ret = str_printf("%s?%s", path, u.query);
		r = *ret ? 0 : -ENOMEM;
	}
	url_done(&u);
	return r;
}

/* Trouble, not an answer; refusals by name are the caller's, too. */
static bool is_trouble(int status)
{
	return status == 401 || status == 403 || status == 408 ||
	       status == 429 || (status >= 500 && status != 501);
}

/* 1: all pages were had; 0: there is no API here. */
static int ask_pages(struct registry *r, const struct object *o,
		     const char *repository, struct wait *w,
		     struct referrers *f)
{
	autofree char *path = strdup(o->path);
	int e = path ? 1 : -ENOMEM;

	for (int page = 0; e == 1 && path && page < PAGES_MAX; page++) {
		char *next = NULL;
		struct call *c;

		e = ask(r, o, repository, path, w, &c);
		if (e < 0)
			break;
		if (call_status(c) == 200)
			e = take_page(c, f);
		else if (page > 0 || is_trouble(call_status(c)))
			e = call_fault(c, w);
		if (e == 0 && page > 0)
			e = call_broken(c, -EIO, "a later page is no index");
		if (e == 1 && next_path(r, c, o, &next) < 0)
			e = -ENOMEM;
		if (next && strcmp(next, path) == 0) {
			free(next);
			next = NULL;
		}
		free(path);
		path = next;
		if (e == 0)
			registry_set_referrers(r, SUPPORT_NO);
		call_close(c);
	}
	if (e == 1)
		registry_set_referrers(r, SUPPORT_YES);
	return e;
}

/* --- the tag --- */

/* ALG-HEX, the latter cut at 64 characters (distribution-spec "Referrers Tag
 * Schema"). */
char *referrers_tag(const struct digest *d)
{
	char hex[129];

	digest_hex(d, hex);
	return str_printf("%s-%.64s", digest_alg_name(d), hex);
}

static int ask_tag(struct registry *r, const char *repository,
		   const struct digest *subject, struct wait *w,
		   struct referrers *f)
{
	autofree char *tag = referrers_tag(subject);
	struct manifest *m = NULL;
	int e = tag ? fetch_manifest_there(r, repository, tag, w, &m) : -ENOMEM;

	if (e == -ENOENT)
		return 0;
	if (e < 0)
		return e;
	if (m->class == MEDIATYPE_INDEX)
		e = add_children(f, m);
	manifest_free(m);
	return e;
}

int referrers_fetch(struct registry *r, const char *repository,
		    const struct digest *subject, struct wait *w,
		    struct descriptor **ret, size_t *ret_len)
{
	struct referrers f = {.list = {.v = NULL}};
	char text[DIGEST_TEXT_MAX];
	struct object o;
	int e;

	digest_format(subject, text);
	e = object_init(&o, repository, "referrers", text);
	if (e < 0)
		return e;
	if (registry_referrers(r) != SUPPORT_NO)
		e = ask_pages(r, &o, repository, w, &f);
	if (e == 0)
		e = ask_tag(r, repository, subject, w, &f);
	object_done(&o);
	if (e < 0) {
		referrers_free(f.list.v, f.list.len);
		return e;
	}
	*ret = f.list.v;
	*ret_len = f.list.len;
	return 0;
}
