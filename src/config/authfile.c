/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One algorithm for all kinds of files (registries.md C.5).  Keys of `auths`
 * fall in two classes:
 *   names  HOST or HOST/PATH as it stands: found by exact match, longest first
 *   hosts  what is left of HOST, of a URL, or of "HOST/v1/" when scheme and
 *          path are cut, with Hub's names made one: compared after the names
 * A path without a scheme is never cut: a secret for reg/team must not be
 * offered for the whole of reg.
 */
#include "config/authfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/authentry.h"
#include "config/hostname.h"
#include "util/auto.h"
#include "util/json.h"
#include "util/log.h"
#include "util/map.h"
#include "util/str.h"

#define KEY_MAX 1024
#define ENTRIES_MAX 4096
#define HEADERS_MAX 64
#define HEADER_LINE_MAX 8192

struct entry {
	struct entry *next; /* in authfile.entries */
	struct credential credential;
	bool broken;
};

struct authfile {
	struct entry *entries;
	struct map *names;   /* -> struct entry */
	struct map *hosts;   /* -> struct entry */
	struct map *helpers; /* host -> char *, owned */
	char *store;
	struct string_list known_hosts, headers;
};

AUTOPTR_DEFINE(json, json_free)
AUTOPTR_DEFINE(authfile, authfile_free)

void authfile_free(struct authfile *f)
{
	if (!f)
		return;
	while (f->entries) {
		struct entry *e = f->entries;

		f->entries = e->next;
		credential_done(&e->credential);
		free(e);
	}
	map_free(f->names, NULL);
	map_free(f->hosts, NULL);
	map_free(f->helpers, free);
	free(f->store);
	string_list_done(&f->known_hosts);
	string_list_done(&f->headers);
	free(f);
}

static void lower_host(char *s)
{
	for (; *s && *s != '/'; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	}
}

static const char *without_scheme(const char *key)
{
	if (str_prefix(key, "https://"))
		return key + strlen("https://");
	return key + (str_prefix(key, "http://") ? strlen("http://") : 0);
}

/* NULL, and *ret_host is NULL too, if memory is out. */
static char *normalise_key(const char *key, bool legacy, char **ret_host)
{
	const char *bare = without_scheme(key);
	autofree char *name = strdup(key);
	size_t n = strcspn(bare, "/");
	const char *path = bare + n;
	autofree char *host = strndup(bare, n);

	*ret_host = NULL;
	if (!name || !host)
		return NULL;
	lower_host(name);
	lower_host(host);
	if (legacy || bare != key || strcmp(path, "") == 0 ||
	    strcmp(path, "/") == 0 || strcmp(path, "/v1/") == 0 ||
	    strcmp(path, "/v2/") == 0) {
		*ret_host = strdup(hostname_canonical(host));
		if (!*ret_host)
			return NULL;
	}
	return steal(&name);
}

/* The first of several entries with one key counts. */
static int put_once(struct map *m, const char *key, void *value)
{
	return map_find(m, key) ? 0 : map_put(m, key, value, NULL);
}

static int add_known_host(struct authfile *f, const char *key, const char *host)
{
	autofree char *first = NULL;

	if (host)
		return string_list_add_once(&f->known_hosts, host);
	first = strndup(key, strcspn(key, "/"));
	if (!first)
		return -ENOMEM;
	return string_list_add_once(&f->known_hosts, hostname_canonical(first));
}

static int add_entry(struct authfile *f, const char *key, bool legacy,
		     struct entry *e)
{
	autofree char *name = NULL;
	autofree char *host = NULL;
	int r;

	name = normalise_key(key, legacy, &host);
	if (!name)
		return -ENOMEM;
	r = put_once(f->names, name, e);
	if (r == 0 && host)
		r = put_once(f->hosts, host, e);
	return r < 0 ? r : add_known_host(f, name, host);
}

static int parse_auths(struct authfile *f, const struct json *auths,
		       bool legacy, const char *name)
{
	const struct json *value;
	void *iter = NULL;
	const char *key;
	size_t n = 0;

	while (json_each(auths, &iter, &key, &value)) {
		struct entry *e;
		int r;

		if (!*key || strlen(key) > KEY_MAX)
			continue;
		if (++n > ENTRIES_MAX)
			return -EBADMSG;
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->next = f->entries;
		f->entries = e;
		r = authentry_parse(value, &e->credential);
		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			credential_done(&e->credential);
			e->broken = true;
			log_warning("%s: the entry for %s cannot be used", name,
				    key);
		}
		r = add_entry(f, key, legacy, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_helpers(struct authfile *f, const struct json *o)
{
	const struct json *value;
	void *iter = NULL;
	const char *key;
	size_t n = 0;
	int r;

	while (o && json_each(o, &iter, &key, &value)) {
		const char *text = json_text(value);
		autofree char *helper = NULL;
		autofree char *name = NULL;
		autofree char *host = NULL;

		if (!text || !*text || !*key || strlen(key) > KEY_MAX)
			continue;
		if (++n > ENTRIES_MAX)
			return -EBADMSG;
		/* Helpers know hosts only. */
		name = normalise_key(key, true, &host);
		helper = strdup(text);
		if (!name || !helper)
			return -ENOMEM;
		if (map_find(f->helpers, host))
			continue;
		r = map_put(f->helpers, host, helper, NULL);
		if (r < 0)
			return r;
		helper = NULL;
		r = string_list_add_once(&f->known_hosts, host);
		if (r < 0)
			return r;
	}
	return 0;
}

/* RFC 9110 5.6.2, and none of those that we or the engine set. */
static bool is_header_name(const char *s)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
				    "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char *const ours[] = {
		"Accept",
		"Accept-Encoding",
		"Authorization",
		"Connection",
		"Content-Length",
		"Content-Range",
		"Content-Type",
		"Host",
		"Proxy-Authorization",
		"Range",
		"TE",
		"Trailer",
		"Transfer-Encoding",
		"Upgrade",
	};
	size_t n = strspn(s, token);

	if (n == 0 || s[n])
		return false;
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		if (strcasecmp(s, ours[i]) == 0)
			return false;
	}
	return true;
}

static int parse_headers(struct authfile *f, const struct json *o,
			 const char *file)
{
	const struct json *value;
	void *iter = NULL;
	const char *key;
	int r;

	while (o && json_each(o, &iter, &key, &value)) {
		const char *text = json_text(value);
		autofree char *line = NULL;

		if (!text || !is_header_name(key) ||
		    !authentry_is_printable(text) ||
		    strlen(key) + strlen(text) > HEADER_LINE_MAX ||
		    f->headers.len == HEADERS_MAX) {
			log_warning("%s: HttpHeaders: %s is not sent", file,
				    key);
			continue;
		}
		line = str_printf("%s: %s", key, text);
		if (!line)
			return -ENOMEM;
		r = string_list_add(&f->headers, line);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_root(struct authfile *f, const struct json *root,
		      const char *name)
{
	const struct json *auths = NULL, *helpers = NULL, *headers = NULL;
	const char *store = "";
	int r;

	if (json_opt_object(root, "auths", &auths, NULL) < 0 ||
	    json_opt_object(root, "credHelpers", &helpers, NULL) < 0 ||
	    json_opt_object(root, "HttpHeaders", &headers, NULL) < 0 ||
	    json_opt_string(root, "credsStore", &store, NULL) < 0)
		return -EBADMSG;
	if (*store) {
		f->store = strdup(store);
		if (!f->store)
			return -ENOMEM;
	}
	r = auths ? parse_auths(f, auths, false, name) : 0;
	if (r == 0)
		r = parse_helpers(f, helpers);
	return r < 0 ? r : parse_headers(f, headers, name);
}

static int authfile_new(struct authfile **ret)
{
	autoptr(authfile) f = calloc(1, sizeof(*f));

	if (!f || map_new(&f->names) < 0 || map_new(&f->hosts) < 0 ||
	    map_new(&f->helpers) < 0)
		return -ENOMEM;
	*ret = steal(&f);
	return 0;
}

/* Of the parser's message only the place: the rest may quote what it stumbled
 * over. */
static void tell_place(const char *name, const struct json_error *e)
{
	if (str_prefix(e->text, "line "))
		log_warning("%s is broken at %.*s", name,
			    (int)strcspn(e->text, ":"), e->text);
}

int authfile_parse(const char *buf, size_t len, bool legacy, const char *name,
		   struct authfile **ret, const char **ret_reason)
{
	autoptr(authfile) f = NULL;
	autoptr(json) root = NULL;
	struct json_error error = {""};
	size_t mark = len >= 3 && memcmp(buf, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	int r;

	r = authfile_new(&f);
	if (r < 0)
		return r;
	r = json_parse_lenient(buf + mark, len - mark, AUTHFILE_MAX, &root,
			       &error);
	if (r < 0)
		tell_place(name, &error);
	if (r == 0 && !json_is_object(root))
		r = -EBADMSG;
	if (r == 0)
		r = legacy ? parse_auths(f, root, true, name)
			   : parse_root(f, root, name);
	if (r == -EBADMSG)
		*ret_reason = "is not proper JSON of that kind";
	if (r < 0)
		return r;
	*ret = steal(&f);
	return 0;
}

static bool take(const struct entry *e, bool is_path,
		 struct authfile_match *ret)
{
	if (!e)
		return false;
	if (!e->broken && e->credential.kind == CREDENTIAL_NONE)
		return false;
	ret->broken = e->broken;
	ret->credential = e->broken ? NULL : &e->credential;
	ret->is_path = is_path;
	return true;
}

static int find_entry(const struct authfile *f, const char *host,
		      const char *repository, struct authfile_match *ret)
{
	size_t host_len = strlen(host), n;
	autofree char *name = str_printf("%s/%s", host, repository);

	if (!name)
		return -ENOMEM;
	n = strlen(name);
	while (n > host_len + 1) {
		if (take(map_findn(f->names, name, n), true, ret))
			return 0;
		while (name[--n] != '/')
			;
	}
	if (!take(map_findn(f->names, host, host_len), false, ret))
		take(map_find(f->hosts, hostname_canonical(host)), false, ret);
	return 0;
}

int authfile_find(const struct authfile *f, const char *host,
		  const char *repository, struct authfile_match *ret)
{
	struct authfile_match m = {.helper = NULL};
	int r;

	m.helper = map_find(f->helpers, hostname_canonical(host));
	if (!m.helper)
		m.helper = f->store;
	r = find_entry(f, host, repository, &m);
	if (r == 0)
		*ret = m;
	return r;
}

int authfile_hosts(const struct authfile *f, struct string_list *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->known_hosts.len; i++)
		r = string_list_add_once(ret, f->known_hosts.v[i]);
	return r;
}

const struct string_list *authfile_headers(const struct authfile *f)
{
	return &f->headers;
}
