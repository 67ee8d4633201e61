/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cursor is the path and query of the next request behind one letter that
 * says whose idea it is: LINKED by the registry, or our own GUESS, which is
 * made only where no link ever came and the page was exactly full.
 */
#include "registry/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"
#include "http/url.h"
#include "registry/call.h"
#include "registry/host.h"
#include "registry/there.h"
#include "util/auto.h"
#include "util/json.h"

#define LINKED 'l'
#define GUESS 'g'
#define LINKS_MAX 8
#define CURSOR_MAX 8192

/* --- asking --- */

/*
 * An optional list was refused.  -EOPNOTSUPP if we are let in otherwise: then
 * nobody, or only an administrator, may list here; -EACCES if we are not.
 */
static int judge_refusal(struct registry *r, struct wait *w)
{
	struct registry_probe p;
	int e = registry_probe(r, w, &p);

	if (e == 0 && p.status == 200)
		return -EOPNOTSUPP;
	return e == -EINTR || e == -ETIMEDOUT ? e : -EACCES;
}

static int ask(struct registry *r, const struct page *l, const char *path,
	       struct wait *w, struct call **ret)
{
	const struct call_spec spec = {.method = "GET",
				       .path = path,
				       .repository = l->repository,
				       .scope = l->scope,
				       .object = l->object,
				       .accept = "application/json",
				       .max_body_bytes = PAGE_BYTES_MAX,
				       .document = true};
	int e = call_run(r, &spec, w, ret);

	/* A token server that refuses the scope refuses the list. */
	return e == -EACCES && l->optional ? judge_refusal(r, w) : e;
}

/* Some take fewer per page, some no `n` at all; *ret_n is what was asked. */
static int ask_first(struct registry *r, const struct page *l, struct wait *w,
		     struct call **ret, size_t *ret_n)
{
	static const size_t sizes[] = {PAGE_NAMES, PAGE_NAMES_SMALL, 0};
	const size_t count = sizeof(sizes) / sizeof(*sizes);

	for (size_t i = l->whole ? count - 1 : 0;; i++) {
		autofree char *path =
			sizes[i] ? str_printf("%s?n=%zu", l->path, sizes[i])
				 : strdup(l->path);
		int e = path ? ask(r, l, path, w, ret) : -ENOMEM;

		if (e < 0)
			return e;
		*ret_n = sizes[i];
		if (i == count - 1 ||
		    (call_status(*ret) != 400 && call_status(*ret) != 405))
			return 0;
		call_close(*ret);
		*ret = NULL;
	}
}

static int ask_page(struct registry *r, const struct page *l,
		    const char *cursor, struct wait *w, struct call **ret,
		    size_t *ret_n)
{
	const char *n;

	if (!cursor)
		return ask_first(r, l, w, ret, ret_n);
	n = strstr(cursor, "?n=");
	*ret_n = n ? strtoul(n + 3, NULL, 10) : 0;
	return ask(r, l, cursor + 1, w, ret);
}

static int refuse(struct registry *r, const struct page *l, struct call *c,
		  struct wait *w)
{
	int status = call_status(c);
	char said[FAULT_TEXT_MAX];

	if (!l->optional ||
	    (status != 401 && status != 403 && status != 404 && status != 405))
		return call_fault(c, w);
	/* A proxy's page is no word of the registry. */
	if (status == 404 && !registry_speaks(r) && call_outcome(c)->is_page)
		return call_fault(c, w);
	if ((status == 401 || status == 403) &&
	    judge_refusal(r, w) != -EOPNOTSUPP)
		return call_fault(c, w);
	memcpy(said, call_outcome(c)->text, sizeof(said));
	return call_broken(c, -EOPNOTSUPP, "does not list: %.400s", said);
}

/* --- the names --- */

/* Google: the tags of a folder, which is no repository. */
static bool is_folder(const struct json *doc)
{
	const struct json *child = json_find(doc, "child");
	const struct json *manifests = json_find(doc, "manifest");
	const struct json *first;
	const char *key;
	void *at = NULL;

	return json_len(child) > 0 && json_len(json_find(doc, "tags")) == 0 &&
	       (!manifests || !json_each(manifests, &at, &key, &first));
}

static void note_children(struct registry *r, const struct json *doc)
{
	autolock(&r->lock);
	r->shows_children |= json_is_array(json_find(doc, "child"));
}

static int add_names(struct registry *r, struct call *c, const struct page *l,
		     struct string_list *names, size_t *ret_count)
{
	struct json_error err = {""};
	const struct json *list = NULL;
	struct json *doc;
	const char *body, *s;
	size_t len;
	int e;

	body = call_body(c, &len);
	e = json_parse_lenient(body, len, PAGE_BYTES_MAX, &doc, &err);
	if (e == -ENOMEM)
		return e;
	if (e < 0)
		return call_broken(c, -EIO, "no list of names: %s", err.text);
	e = json_is_object(doc) ? json_opt_array(doc, l->member, &list, &err)
				: -EBADMSG;
	if (e < 0)
		e = call_broken(c, -EIO, "no list of names: %s", err.text);
	if (e == 0 && l->children) {
		note_children(r, doc);
		e = is_folder(doc) ? -ENOENT : 0;
	}
	*ret_count = json_len(list);
	for (size_t i = 0; e == 0 && i < *ret_count; i++) {
		s = json_string(json_at(list, i)); /* null occurs (Nexus) */
		if (s)
			e = string_list_add(names, s);
	}
	json_free(doc);
	return e;
}

/* --- the next page --- */

/*
 * Path and query of a link, asked on our own origin whatever its scheme
 * (registries behind proxies do not know it).  -EACCES: another host, and not
 * even this list.
 */
static int own_path(struct registry *registry, const struct call *c,
		    const struct page *l, const char *link, char **ret)
{
	struct url from = {.host = NULL}, to = {.host = NULL};
	autofree char *absolute = NULL;
	autofree char *path = NULL;
	int r = url_resolve(call_url(c), link, &absolute);

	if (r == 0)
		r = url_parse(call_url(c), &from);
	if (r == 0)
		r = url_parse(absolute, &to);
	if (r == 0)
		r = here_path(registry, to.path, &path);
	if (r == 0 && strcmp(path, l->path) != 0) {
		to.https = from.https;
		if (!url_same_origin(&from, &to))
			r = -EACCES;
	}
	if (r == 0) {
		*ret = str_printf("%c%s%s%s", LINKED, path, to.query ? "?" : "",
				  to.query ? to.query : "");
		r = *ret ? 0 : -ENOMEM;
	}
	url_done(&from);
	url_done(&to);
	return r;
}

/* 1: there is a link. */
static int find_link(const struct call *c, char **ret)
{
	for (size_t i = 0; i < LINKS_MAX; i++) {
		const char *value = call_header(c, "link", i);
		char *link = NULL;
		int r;

		if (!value)
			return 0;
		r = header_parse_link_next(value, &link);
		if (r == 0 && link) {
			*ret = link;
			return 1;
		}
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

static int guess(const struct page *l, size_t n, const char *last, char **ret)
{
	autofree char *path = str_printf("%c%s?n=%zu", GUESS, l->path, n);
	int r = path ? url_add_query(&path, "last", last) : -ENOMEM;

	if (r == 0)
		*ret = steal(&path);
	return r;
}

static int next_page(struct registry *registry, struct call *c,
		     const struct page *l, const char *cursor, size_t n,
		     size_t count, const struct string_list *names, char **ret)
{
	autofree char *link = NULL;
	int r = find_link(c, &link);

	if (r == 1) {
		r = own_path(registry, c, l, link, ret);
		if (r == 0 && strlen(*ret) > CURSOR_MAX) {
			free(*ret);
			*ret = NULL;
			r = -EINVAL;
		}
		return r == 0 || r == -ENOMEM
			       ? r
			       : call_broken(c, -EIO,
					     "the link to its next page %s",
					     r == -EACCES
						     ? "leads to another host"
						     : "is no URL");
	}
	if (r < 0 || n == 0 || count != n || names->len == 0 ||
	    (cursor && *cursor == LINKED))
		return r;
	return guess(l, n, names->v[names->len - 1], ret);
}

int page_fetch(struct registry *r, const struct page *l, char **cursor,
	       struct wait *w, struct string_list *names)
{
	struct string_list page = {.v = NULL};
	struct call *c = NULL;
	size_t n = 0, count = 0;
	char *next = NULL;
	int e;

	e = ask_page(r, l, *cursor, w, &c, &n);
	if (e < 0)
		return e;
	if (l->absent_is_empty && call_status(c) == 404 &&
	    call_judge(c, w) == -ENOENT) {
		free(*cursor);
		*cursor = NULL;
		call_close(c);
		return 0;
	}
	if (call_status(c) != 200)
		e = refuse(r, l, c, w);
	if (e == 0)
		e = add_names(r, c, l, &page, &count);
	if (e == 0)
		e = next_page(r, c, l, *cursor, n, count, &page, &next);
	for (size_t i = 0; e == 0 && i < page.len; i++)
		e = string_list_add(names, page.v[i]);
	if (e == 0) {
		free(*cursor);
		*cursor = steal(&next);
	}
	free(next);
	string_list_done(&page);
	call_close(c);
	return e;
}
