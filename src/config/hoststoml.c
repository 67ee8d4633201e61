/* SPDX-License-Identifier: Apache-2.0 */
/* An entry that is broken is left out as a whole: half of what somebody wrote
 * about a host could be the unsafe half. */
#include "config/hoststoml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/conffile.h"
#include "util/auto.h"
#include "util/str.h"
#include "util/vec.h"

#define HEADERS_MAX 16

AUTOPTR_DEFINE(endpoint, endpoint_free)

static const char *const keys[] = {
	"server", "host",   "capabilities", "override_path", "ca",
	"client", "header", "skip_verify",  "dial_timeout",  NULL,
};

void hoststoml_done(struct hoststoml *h)
{
	for (size_t i = 0; i < h->len; i++)
		endpoint_free(h->v[i]);
	vec_done(h);
}

static int beneath(const char *dir, const char *file, char **ret)
{
	*ret = file[0] == '/' ? strdup(file) : str_printf("%s/%s", dir, file);
	return *ret ? 0 : -ENOMEM;
}

static int read_cas(struct conffile *f, const struct toml *t, const char *dir,
		    struct endpoint *e)
{
	const struct toml *value = toml_find(t, "ca");
	autostrings files = {.v = NULL};
	int r = value ? conffile_strings(f, value, &files) : 0;

	for (size_t i = 0; r == 0 && i < files.len; i++) {
		autofree char *path = NULL;

		r = beneath(dir, files.v[i], &path);
		if (r == 0)
			r = string_list_add(&e->cas, path);
	}
	return r;
}

/* "both.pem", ["both.pem"], [["c.pem", "c.key"], ["both.pem", ""]]: the first
 * pair counts. */
static int read_client(struct conffile *f, const struct toml *t,
		       const char *dir, struct endpoint *e)
{
	const struct toml *value = toml_find(t, "client");
	autostrings names = {.v = NULL};
	bool pair;
	int r;

	if (!value)
		return 0;
	pair = value->type == TOML_ARRAY && value->len > 0 &&
	       value->v[0]->type == TOML_ARRAY;
	r = conffile_strings(f, pair ? value->v[0] : value, &names);
	if (r < 0 || names.len == 0)
		return r;
	if (value->type == TOML_ARRAY && value->len > 1)
		conffile_warn(f, value->line,
			      "of several client certificates %s is used",
			      names.v[0]);
	r = beneath(dir, names.v[0], &e->client_cert);
	if (r < 0)
		return r;
	return beneath(dir,
		       pair && names.len > 1 && *names.v[1] ? names.v[1]
							    : names.v[0],
		       &e->client_key);
}

static bool is_header(const char *name, const char *value)
{
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p <= ' ' || *p == ':' || *p == 0x7f)
			return false;
	}
	for (const char *p = value; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	}
	return *name != '\0';
}

static int read_header(struct conffile *f, const struct toml *value,
		       struct endpoint *e)
{
	autostrings lines = {.v = NULL};
	int r = conffile_strings(f, value, &lines);

	for (size_t i = 0; r == 0 && i < lines.len; i++) {
		autofree char *line = NULL;

		if (!is_header(value->key, lines.v[i]) ||
		    e->headers.len >= HEADERS_MAX) {
			conffile_warn(f, value->line,
				      "%s cannot be a header; it is ignored",
				      value->key);
			continue;
		}
		line = str_printf("%s: %s", value->key, lines.v[i]);
		r = line ? string_list_add(&e->headers, line) : -ENOMEM;
		if (line)
			explicit_bzero(line, strlen(line));
	}
	return r;
}

static int read_headers(struct conffile *f, const struct toml *t,
			struct endpoint *e)
{
	const struct toml *value = toml_find(t, "header");
	int r = 0;

	if (!value || value->type != TOML_TABLE)
		return 0;
	for (size_t i = 0; r == 0 && i < value->len; i++)
		r = read_header(f, value->v[i], e);
	return r;
}

/* Without the key it can do all. */
static int read_capabilities(struct conffile *f, const struct toml *t,
			     struct endpoint *e)
{
	const struct toml *value = toml_find(t, "capabilities");
	autostrings names = {.v = NULL};
	int r;

	e->resolve = e->pull = e->push = !value;
	if (!value)
		return 0;
	r = conffile_strings(f, value, &names);
	if (r < 0)
		return r;
	e->resolve = string_list_has(&names, "resolve");
	e->pull = string_list_has(&names, "pull");
	e->push = string_list_has(&names, "push");
	return 0;
}

/* The path gets a /v2 unless it ends so, or is to be used as it is. */
static int set_path(struct conffile *f, const struct toml *t, const char *path,
		    struct endpoint *e)
{
	bool as_it_is = false;

	conffile_bool(f, t, "override_path", &as_it_is);
	e->path = str_printf(
		"%s%s", path,
		str_suffix(path, "/v2") || (as_it_is && *path) ? "" : "/v2");
	return e->path ? 0 : -ENOMEM;
}

static int fill(struct conffile *f, const struct toml *t, const char *dir,
		struct endpoint *e)
{
	int r = read_cas(f, t, dir, e);

	if (r == 0)
		r = read_client(f, t, dir, e);
	if (r == 0)
		r = read_headers(f, t, e);
	if (r == 0)
		r = read_capabilities(f, t, e);
	if (conffile_bool(f, t, "skip_verify", &e->verify)) {
		e->has_verify = true;
		e->verify = !e->verify;
	}
	return r;
}

static int add(struct conffile *f, const struct toml *t, const char *url,
	       unsigned line, const char *host, const char *dir,
	       struct hoststoml *ret)
{
	autoptr(endpoint) e = calloc(1, sizeof(*e));
	autofree char *path = NULL;
	const char *why = "";
	int r;

	if (!e)
		return -ENOMEM;
	conffile_known(f, t, keys);
	r = endpoint_parse(url, e, &path, &why);
	if (r == -EINVAL) {
		conffile_warn(f, line, "%s %s; it is left out", url, why);
		return 0;
	}
	if (r < 0)
		return r;
	if (e->scheme == ENDPOINT_USUAL)
		e->scheme = ENDPOINT_HTTPS;
	e->ns = strcmp(e->host, host) != 0;
	e->where = str_printf("%s:%u", f->path, line);
	r = e->where ? set_path(f, t, path, e) : -ENOMEM;
	if (r == 0)
		r = fill(f, t, dir, e);
	if (r == 0)
		r = vec_push(ret, e);
	if (r == 0)
		(void)steal(&e);
	return r;
}

int hoststoml_read(struct conffile *f, const struct toml *root,
		   const char *host, const char *dir, struct hoststoml *ret)
{
	const struct toml *list = toml_find(root, "host");
	const struct toml *server = toml_find(root, "server");
	struct hoststoml h = {.v = NULL};
	size_t before;
	int r = 0;

	for (size_t i = 0; list && i < list->len && r == 0; i++) {
		const struct toml *one = list->v[i];

		if (list->type != TOML_TABLE || one->type != TOML_TABLE ||
		    i >= HOSTSTOML_ENDPOINTS_MAX)
			conffile_warn(f, one->line,
				      "this cannot be a host; it is left out");
		else
			r = add(f, one, one->key, one->line, host, dir, &h);
	}
	before = h.len;
	if (r == 0 && server && conffile_string(f, root, "server"))
		r = add(f, root, server->text, server->line, host, dir, &h);
	else if (r == 0)
		conffile_known(f, root, keys);
	h.has_server = h.len > before;
	if (r < 0) {
		hoststoml_done(&h);
		return r;
	}
	*ret = h;
	return 0;
}
