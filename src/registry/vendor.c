/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vendors' own hosts are named here by constants (the rows of catalog.h), all
 * others by the realm that the registry was allowed to name (faults.md A2):
 * whoever is asked has, or may have, this user's credential anyway.
 */
#include "registry/vendor.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"
#include "http/url.h"
#include "oci/reference.h"
#include "registry/call.h"
#include "registry/host.h"
#include "registry/login.h"
#include "registry/wire/fault_table.h"
#include "registry/wire/lines.h"
#include "util/auto.h"
#include "util/json.h"
#include "util/metric.h"

#define LINKS_MAX 8

void vendor_answer_done(struct vendor_answer *a)
{
	json_free(a->doc);
	free(a->next);
	*a = (struct vendor_answer){.status = 0};
}

/* --- where, and as whom --- */

int vendor_base(struct registry *r, const struct catalog_lister *l, char **ret)
{
	autofree char *realm = NULL;
	size_t n;

	for (size_t i = 0; l->api && l->hosts && l->hosts[i]; i++) {
		if (fnmatch(l->hosts[i], r->host, 0) != 0)
			continue;
		*ret = strdup(l->api);
		return *ret ? 0 : -ENOMEM;
	}
	pthread_mutex_lock(&r->lock);
	if (r->demand.realm)
		realm = strndup(r->demand.realm,
				strcspn(r->demand.realm, "?#"));
	pthread_mutex_unlock(&r->lock);
	if (!realm || !l->realm_end || !str_suffix(realm, l->realm_end))
		return -EOPNOTSUPP;
	n = strlen(realm) - strlen(l->realm_end);
	realm[n] = '\0';
	*ret = steal(&realm);
	return 0;
}

int vendor_credential(struct registry *r, const char *area,
		      struct credential *ret)
{
	struct credential c = {.kind = CREDENTIAL_NONE};
	int e = login_have(r, area, &c);

	if (e == -ENOMEM)
		return e;
	/* Public names can be listed without it. */
	if (e < 0 || c.kind != CREDENTIAL_BASIC || !c.secret || !*c.secret) {
		credential_done(&c);
		c = (struct credential){.kind = CREDENTIAL_NONE};
	}
	*ret = c;
	return 0;
}

/* --- asking --- */

static int check_transport(struct registry *r, const struct vendor_ask *ask,
			   struct outcome *out)
{
	if (!ask->value && !ask->body)
		return 0;
	return exchange_guard(&r->wire, ask->url, out);
}

static int add_lines(const struct vendor_ask *ask, struct lines *l)
{
	int e = lines_add(l, "Accept",
			  ask->accept ? ask->accept : "application/json");

	if (e == 0 && ask->body)
		e = lines_add(l, "Content-Type", "application/json");
	if (e == 0 && ask->value)
		e = lines_add(l, ask->name, ask->value);
	return e;
}

/* The link of a page, if there is one that leads to the same host. */
static int find_next(const struct http_head *head, const char *url, char **ret)
{
	for (size_t i = 0; i < LINKS_MAX; i++) {
		const char *value = http_header_nth(head, "link", i);
		autofree char *link = NULL;
		int e;

		if (!value)
			return 0;
		e = header_parse_link_next(value, &link);
		if (e == -ENOMEM)
			return e;
		if (e == 0 && link)
			return vendor_next(url, link, ret);
	}
	return 0;
}

static int read_doc(struct exchange *x, const struct vendor_ask *ask,
		    struct wait *w, struct vendor_answer *a,
		    struct outcome *out)
{
	struct json_error err = {""};
	char *body = NULL;
	size_t len = 0;
	int e = find_next(x->head, ask->url, &a->next);

	if (e < 0)
		return outcome_set(out, e == -ENOMEM ? e : -EIO,
				   "the link to its next page %s",
				   e == -EACCES ? "leads to another host"
						: "is no URL");
	e = exchange_read_all(x, VENDOR_BYTES_MAX, w, &body, &len, out);
	if (e < 0) {
		out->may_retry &= e != -EFBIG;
		return e == -EFBIG ? outcome_set(out, -EIO, "answer too long")
				   : e;
	}
	e = json_parse_lenient(body, len, VENDOR_BYTES_MAX, &a->doc, &err);
	explicit_bzero(body, len); /* logins answer with tokens */
	free(body);
	return e < 0 ? outcome_set(out, e == -ENOMEM ? e : -EIO,
				   "no list of names: %s", err.text)
		     : 0;
}

static bool is_refusal(int status)
{
	return status >= 400 && status <= 405;
}

static int ask_once(struct registry *r, const struct vendor_ask *ask,
		    const struct lines *lines, struct wait *w,
		    struct vendor_answer *a, struct outcome *out)
{
	struct exchange_spec spec = {.method = ask->body ? "POST" : "GET",
				     .url = ask->url,
				     .headers = lines_list(lines),
				     .body = ask->body,
				     .body_bytes =
					     ask->body ? strlen(ask->body) : 0,
				     .max_body_bytes = VENDOR_BYTES_MAX};
	struct exchange x;
	bool is_oci;
	int e;

	pthread_mutex_lock(&r->lock);
	spec.peer = r->peer;
	pthread_mutex_unlock(&r->lock);
	e = exchange_open(&r->wire, &spec, w, &x, out);
	if (e < 0)
		return e;
	a->status = x.head->status;
	if (a->status == 200) {
		e = read_doc(&x, ask, w, a, out);
	} else {
		exchange_refusal(&x, w, out, &is_oci);
		snprintf(a->said, sizeof(a->said), "%.200s", out->text);
		out->may_retry = true; /* by its status */
		e = is_refusal(a->status) ? 0 : out->error;
		if (e == 0 && !is_refusal(a->status))
			e = -EIO;
	}
	exchange_close(&x);
	return e;
}

static int ask_again(struct registry *r, const struct vendor_ask *ask,
		     const struct lines *lines, struct wait *w,
		     struct vendor_answer *a, struct outcome *out)
{
	int e;

	for (unsigned n = 1;; n++) {
		int ended = 0;

		memset(out, 0, sizeof(*out));
		vendor_answer_done(a);
		e = ask_once(r, ask, lines, w, a, out);
		if (e == 0 || !out->may_retry)
			return e;
		if (!call_again(r, out, n, w, &ended)) {
			if (ended == -EINTR)
				out->error = e = ended;
			return e;
		}
	}
}

int vendor_ask(struct registry *r, const struct vendor_ask *ask, struct wait *w,
	       struct vendor_answer *ret)
{
	struct vendor_answer a = {.status = 0};
	struct lines lines = {.len = 0};
	const struct host_conf *conf;
	struct outcome out = {.status = 0};
	char said[sizeof(out.text)];
	int e;

	if (r->cfg->offline)
		return -ENETDOWN;
	e = registry_conf(r, &conf);
	if (e == 0)
		e = check_transport(r, ask, &out);
	if (e == 0)
		e = add_lines(ask, &lines);
	if (e < 0 && !out.error)
		outcome_set(&out, e, "cannot ask: %s", strerror(-e));
	if (e == 0)
		e = ask_again(r, ask, &lines, w, &a, &out);
	lines_done(&lines);
	if (e < 0) {
		memcpy(said, out.text, sizeof(said));
		outcome_set(&out, e, "its API: %.400s", said);
		registry_fault(r, ask->object, &out);
		if (e != -EINTR)
			metric_add(METRIC_HTTP_FAILURES, 1);
		vendor_answer_done(&a);
		return e;
	}
	*ret = a;
	return 0;
}

/* --- what an answer says --- */

int vendor_next(const char *url, const char *link, char **ret)
{
	struct url from = {.host = NULL}, to = {.host = NULL};
	autofree char *absolute = NULL;
	int e = url_resolve(url, link, &absolute);

	if (e == 0)
		e = url_parse(url, &from);
	if (e == 0)
		e = url_parse(absolute, &to);
	if (e == 0 && strcmp(from.host, to.host) != 0 &&
	    strcmp(from.path, to.path) != 0)
		e = -EACCES;
	if (e == 0 && strlen(absolute) > VENDOR_URL_MAX)
		e = -EINVAL;
	if (e == 0) {
		/* Behind a proxy they do not know their own name. */
		free(from.path);
		free(from.query);
		from.path = steal(&to.path);
		from.query = steal(&to.query);
		e = url_format(&from, ret);
	}
	url_done(&from);
	url_done(&to);
	return e;
}

int vendor_refused(struct registry *r, const char *object,
		   const struct vendor_answer *a)
{
	struct outcome out = {.status = a->status};

	outcome_set(&out, -EOPNOTSUPP, "its API does not list: %.200s",
		    a->said);
	registry_fault(r, object, &out);
	return out.error;
}

int vendor_broken(struct registry *r, const char *object, const char *why)
{
	struct outcome out = {.status = 200};

	outcome_set(&out, -EIO, "its API: %.400s", why);
	registry_fault(r, object, &out);
	return out.error;
}

int vendor_add_names(struct registry *r, const struct vendor_list *l,
		     const char *area, const char *object,
		     const struct vendor_answer *a, struct string_list *names)
{
	struct json_error err = {"not an array"};
	const struct json *list = NULL;
	int e = 0;

	/* What is private is as good as not there. */
	if (!a->doc)
		return a->status == 404 ? -EOPNOTSUPP
					: vendor_refused(r, object, a);
	if (l->member)
		e = json_is_object(a->doc)
			    ? json_opt_array(a->doc, l->member, &list, &err)
			    : -EBADMSG;
	else if (json_is_array(a->doc))
		list = a->doc;
	else
		e = -EBADMSG;
	if (e == -EBADMSG)
		return vendor_broken(r, object, err.text);
	for (size_t i = 0; e == 0 && i < json_len(list); i++) {
		const struct json *one = json_at(list, i);

		if (json_is_object(one)) /* null occurs */
			e = l->add(one, area, names);
	}
	return e;
}

int vendor_add_beneath(const struct json *one, const char *area,
		       struct string_list *names)
{
	const char *s = json_string(json_find(one, "name"));
	autofree char *name = s ? str_printf("%s/%s", area, s) : NULL;

	if (!s)
		return 0;
	return name ? string_list_add(names, name) : -ENOMEM;
}

int vendor_own_namespace(const struct credential *c, struct string_list *names)
{
	autofree char *name = NULL;

	if (c->kind != CREDENTIAL_BASIC || !c->user || !*c->user)
		return 0;
	name = str_printf("%s/", c->user);
	if (!name)
		return -ENOMEM;
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	/* Not a name: a mail address, or a robot. */
	return string_list_add(names, name);
}
