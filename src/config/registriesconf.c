/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list, in which a later file's entry replaces an earlier one's of the
 * same prefix.  A name is beneath a prefix that ends where one of its
 * components does.
 */
#include "config/registriesconf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/conffile.h"
#include "config/hostname.h"
#include "oci/reference.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/str.h"
#include "util/vec.h"

#define RANKS 1024 /* over any length of a host */

static void rewrite_done(struct rewrite *w)
{
	endpoint_free(w->endpoint);
	free(w->path);
	*w = (struct rewrite){.path = NULL};
}

static void regentry_free(struct regentry *e)
{
	if (!e)
		return;
	rewrite_done(&e->location);
	for (size_t i = 0; i < e->len; i++)
		rewrite_done(&e->v[i]);
	free(e->v);
	free(e->where);
	free(e->prefix);
	free(e);
}

AUTOPTR_DEFINE(regentry, regentry_free)

void registriesconf_done(struct registriesconf *c)
{
	for (size_t i = 0; i < c->len; i++)
		regentry_free(c->v[i]);
	free(c->blocks_all);
	vec_done(c);
}

/* -EINVAL: told. */
static int read_rewrite(struct conffile *f, const struct toml *t,
			const char *location, struct rewrite *ret)
{
	struct rewrite w = {.endpoint = calloc(1, sizeof(*w.endpoint))};
	const char *why = "";
	int r = w.endpoint ? 0 : -ENOMEM;

	if (r == 0 && strstr(location, "://")) {
		why = "must be without a scheme";
		r = -EINVAL;
	}
	if (r == 0)
		r = endpoint_parse(location, w.endpoint, &w.path, &why);
	if (r == -EINVAL)
		conffile_warn(f, t->line, "%s %s; it is left out", location,
			      why);
	if (r == 0) {
		w.endpoint->path = strdup("/v2");
		w.endpoint->where = str_printf("%s:%u", f->path, t->line);
		w.endpoint->resolve = w.endpoint->pull = true;
		if (!w.endpoint->path || !w.endpoint->where)
			r = -ENOMEM;
	}
	if (r < 0)
		rewrite_done(&w);
	else
		*ret = w;
	return r;
}

static void read_mode(struct conffile *f, const struct toml *t,
		      const struct regentry *e, struct endpoint *m)
{
	const char *mode = conffile_string(f, t, "pull-from-mirror");

	if (e->by_digest_only)
		m->resolve = false;
	if (!mode || strcmp(mode, "all") == 0)
		return;
	if (strcmp(mode, "digest-only") == 0)
		m->resolve = false;
	else if (strcmp(mode, "tag-only") == 0)
		m->pull = false;
	else
		conffile_warn(f, t->line,
			      "pull-from-mirror must be all, digest-only or "
			      "tag-only; it is ignored");
}

static int read_mirror(struct conffile *f, const struct toml *t,
		       struct regentry *e)
{
	static const char *const keys[] = {"location", "insecure",
					   "pull-from-mirror", NULL};
	const char *location;
	struct rewrite w;
	bool insecure = false;
	int r;

	if (t->type != TOML_TABLE || e->len >= REGISTRIESCONF_MIRRORS_MAX) {
		conffile_warn(f, t->line, "this cannot be a mirror");
		return 0;
	}
	conffile_known(f, t, keys);
	location = conffile_string(f, t, "location");
	if (!location) {
		conffile_warn(f, t->line, "a mirror without a location");
		return 0;
	}
	r = read_rewrite(f, t, location, &w);
	if (r < 0)
		return r == -EINVAL ? 0 : r;
	if (conffile_bool(f, t, "insecure", &insecure) && insecure)
		w.endpoint->scheme = ENDPOINT_EITHER;
	read_mode(f, t, e, w.endpoint);
	r = vec_push(e, w);
	if (r < 0)
		rewrite_done(&w);
	return r;
}

/* Of a prefix for single tags or digests: "h/ns". */
static int cut_prefix(struct conffile *f, const struct toml *t,
		      const char *prefix, char **ret)
{
	const char *slash = strrchr(prefix, '/');
	size_t n = slash ? (size_t)(slash - prefix) : 0;

	n += strcspn(prefix + n, slash ? ":@" : "@");
	if (!prefix[n])
		return 0;
	*ret = strndup(prefix, n);
	conffile_warn(f, t->line,
		      "%s is for single tags or digests: what is blocked is "
		      "all of it",
		      prefix);
	return *ret ? 0 : -ENOMEM;
}

/* "h", "h/ns", "*.domain", of which the host becomes canonical. */
static int read_prefix(struct conffile *f, const struct toml *t,
		       const char *prefix, bool blocked, char **ret)
{
	autofree char *cut = NULL;
	struct endpoint e = {.host = NULL};
	autofree char *path = NULL;
	const char *why = "is no prefix";
	const char *slash;
	bool wild = str_prefix(prefix, "*.");
	int r = blocked ? cut_prefix(f, t, prefix, &cut) : 0;

	if (r < 0)
		return r;
	prefix = cut ? cut : prefix;
	slash = strrchr(prefix, '/');
	r = -EINVAL;
	if (strchr(prefix, '@') || (slash && strchr(slash, ':')))
		why = "is for single tags or digests, which is not supported";
	else if (strlen(prefix) < RANKS - 1 && !strstr(prefix, "://") &&
		 !(wild && slash))
		r = endpoint_parse(prefix + (wild ? 2 : 0), &e, &path, &why);
	if (r == 0) {
		*ret = str_printf("%s%s%s", wild ? "*." : "", e.host, path);
		r = *ret ? 0 : -ENOMEM;
	}
	if (r == -EINVAL)
		conffile_warn(f, t->line, "%s %s; it is left out", prefix, why);
	free(e.host);
	return r;
}

/* Without a location, or with the name's own, nothing is rewritten. */
static int read_location(struct conffile *f, const struct toml *t,
			 const char *location, struct regentry *e)
{
	struct rewrite w;
	autofree char *name = NULL;
	int r = read_rewrite(f, t, location, &w);

	if (r < 0)
		return r;
	name = str_printf("%s%s", w.endpoint->host, w.path);
	/* What an entry says of a part of a host does not hold for the host,
	 * so that part is a place of its own. */
	if (!name ||
	    (strcmp(name, e->prefix) == 0 && !(e->insecure && *w.path))) {
		rewrite_done(&w);
		return name ? 0 : -ENOMEM;
	}
	if (e->insecure)
		w.endpoint->scheme = ENDPOINT_EITHER;
	e->location = w;
	return 0;
}

static int put(struct registriesconf *c, struct regentry *e)
{
	for (size_t i = 0; i < c->len; i++) {
		if (strcmp(c->v[i]->prefix, e->prefix) == 0) {
			regentry_free(c->v[i]);
			c->v[i] = e;
			return 0;
		}
	}
	return vec_push(c, e);
}

static int read_mirrors(struct conffile *f, const struct toml *t,
			struct regentry *e)
{
	const struct toml *list = toml_find(t, "mirror");
	int r = 0;

	for (size_t i = 0; list && i < list->len && r == 0; i++)
		r = read_mirror(f, list->v[i], e);
	return r;
}

int registriesconf_block_all(struct registriesconf *c, const char *path,
			     unsigned line)
{
	char *where = line ? str_printf("%s:%u", path, line) : strdup(path);

	if (!where)
		return -ENOMEM;
	log_warning("%s: this may block registries, and it cannot be told "
		    "which; until that is mended, all are blocked",
		    where);
	free(c->blocks_all);
	c->blocks_all = where;
	return 0;
}

/* -EINVAL: told, or it may be one that blocks. */
static int read_entry_name(struct conffile *f, const struct toml *t,
			   struct regentry *e, const char **ret_location)
{
	const char *location = conffile_string(f, t, "location");
	const char *prefix = conffile_string(f, t, "prefix");
	bool lost = toml_broken_line(t, "prefix") ||
		    (!prefix && toml_find(t, "prefix"));

	/* Behind what was meant to begin the next one. */
	if (e->blocked && prefix && toml_find(t, "prefix")->doubtful)
		return -EINVAL;
	if (!prefix && !lost)
		prefix = location;
	if (!prefix) {
		conffile_warn(f, t->line,
			      "a registry without %s; it is left out",
			      lost ? "a prefix that can be read"
				   : "prefix and location");
		return -EINVAL;
	}
	*ret_location = location;
	return read_prefix(f, t, prefix, e->blocked, &e->prefix);
}

static int read_entry(struct conffile *f, const struct toml *t,
		      struct registriesconf *c)
{
	static const char *const keys[] = {"prefix",   "location",
					   "insecure", "blocked",
					   "mirror",   "mirror-by-digest-only",
					   NULL};
	autoptr(regentry) e = calloc(1, sizeof(*e));
	const char *location = NULL;
	int r;

	if (!e)
		return -ENOMEM;
	if (t->type != TOML_TABLE) {
		conffile_warn(f, t->line, "this cannot be a registry");
		return 0;
	}
	conffile_known(f, t, keys);
	conffile_bool(f, t, "insecure", &e->insecure);
	e->blocked = conffile_bool_safe(f, t, "blocked");
	conffile_bool(f, t, "mirror-by-digest-only", &e->by_digest_only);
	if (c->len >= REGISTRIESCONF_ENTRIES_MAX) {
		conffile_warn(f, t->line, "this is one too many");
		return e->blocked
			       ? registriesconf_block_all(c, f->path, t->line)
			       : 0;
	}
	e->where = str_printf("%s:%u", f->path, t->line);
	r = e->where ? read_entry_name(f, t, e, &location) : -ENOMEM;
	if (r == -EINVAL && e->blocked)
		return registriesconf_block_all(c, f->path, t->line);
	if (r == 0 && !location && e->insecure && *e->prefix != '*')
		location = e->prefix;
	if (r == 0 && location)
		r = read_location(f, t, location, e);
	if (r == -EINVAL && e->blocked && e->prefix)
		r = 0; /* nobody asks where it is */
	if (r == 0)
		r = read_mirrors(f, t, e);
	if (r == 0)
		r = put(c, e);
	if (r == 0)
		(void)steal(&e);
	return r == -EINVAL ? 0 : r;
}

/* "h" of version 1's block list. */
static int read_blocked(struct conffile *f, const struct toml *t,
			struct registriesconf *c)
{
	autoptr(regentry) e = calloc(1, sizeof(*e));
	int r = -EINVAL;

	if (!e)
		return -ENOMEM;
	e->blocked = true;
	e->where = str_printf("%s:%u", f->path, t->line);
	if (!e->where)
		return -ENOMEM;
	if (t->type == TOML_STRING && c->len < REGISTRIESCONF_ENTRIES_MAX)
		r = read_prefix(f, t, t->text, true, &e->prefix);
	if (r == 0)
		r = put(c, e);
	if (r == 0)
		(void)steal(&e);
	return r == -EINVAL ? registriesconf_block_all(c, f->path, t->line) : r;
}

/* Version 1: [registries.block] registries = ["h"]. */
static int read_block(struct conffile *f, const struct toml *root,
		      struct registriesconf *c)
{
	static const char *const names[] = {"registries", "block",
					    "registries"};
	const struct toml *t = root;
	unsigned lost = 0;
	int r = 0;

	for (size_t i = 0; t && !lost && i < 3; i++) {
		lost = toml_broken_line(t, names[i]);
		if (!lost)
			lost = t->type == TOML_TABLE ? toml_broken_line(t, "")
						     : t->line;
		t = toml_find(t, names[i]);
	}
	if (t && !lost && t->type != TOML_ARRAY)
		lost = t->line;
	for (size_t i = 0; t && !lost && r == 0 && i < t->len; i++)
		r = read_blocked(f, t->v[i], c);
	return lost ? registriesconf_block_all(c, f->path, lost) : r;
}

int registriesconf_read(struct conffile *f, const struct toml *root,
			struct registriesconf *ret)
{
	static const char *const keys[] = {"registry",
					   "unqualified-search-registries",
					   "short-name-mode",
					   "credential-helpers",
					   "additional-layer-store-auth-helper",
					   "aliases",
					   "registries",
					   NULL};
	static const char *const version_1[] = {"search", "block", NULL};
	const struct toml *list = toml_find(root, "registry");
	const struct toml *old = toml_find(root, "registries");
	unsigned lost = toml_broken_line(root, "registry");
	int r;

	conffile_known(f, root, keys);
	if (old)
		conffile_known(f, old, version_1);
	if (list && list->type != TOML_ARRAY) {
		conffile_warn(f, list->line,
			      "registry must be written [[registry]]");
		return registriesconf_block_all(ret, f->path, list->line);
	}
	/* Its header is not there. */
	if (!lost && toml_find(root, "blocked"))
		lost = toml_find(root, "blocked")->line;
	r = lost ? registriesconf_block_all(ret, f->path, lost)
		 : read_block(f, root, ret);
	for (size_t i = 0; list && i < list->len && r == 0; i++)
		r = read_entry(f, list->v[i], ret);
	return r;
}

/* How much of "host/repository" the prefix covers; 0: it is not beneath. */
static size_t covers(const struct regentry *e, const char *host,
		     const char *repository)
{
	const char *p = e->prefix;
	size_t n = strlen(host);

	if (str_prefix(p, "*."))
		return str_suffix(host, p + 1) ? n : 0;
	if (strncmp(p, host, n) != 0)
		return 0;
	if (!p[n])
		return n;
	if (p[n] != '/' || !str_prefix(repository, p + n + 1))
		return 0;
	repository += strlen(p + n + 1);
	return *repository == '\0' || *repository == '/' ? strlen(p) : 0;
}

const struct regentry *registriesconf_find(const struct registriesconf *c,
					   const char *host,
					   const char *repository)
{
	const struct regentry *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < c->len; i++) {
		const struct regentry *e = c->v[i];
		size_t n = covers(e, host, repository);
		/* Of those that cover as much, the name beats a pattern, and
		 * the longer pattern the shorter. */
		size_t fine = *e->prefix == '*' ? strlen(e->prefix) : RANKS - 1;
		size_t rank = n ? n * RANKS + fine : 0;

		if (rank > most) {
			best = e;
			most = rank;
		}
	}
	return best;
}

int registriesconf_rewrite(const struct regentry *e, const struct rewrite *to,
			   const char *host, const char *repository, char **ret)
{
	size_t covered = covers(e, host, repository), n = strlen(host);
	const char *rest = repository;
	autofree char *name = NULL;

	if (covered > n) /* "h/ns": what is behind "ns" */
		rest += covered - n - 1;
	while (*rest == '/')
		rest++;
	name = str_printf("%s%s%s", to->path, *to->path && *rest ? "/" : "",
			  rest);
	if (!name)
		return -ENOMEM;
	if (name[0] == '/')
		memmove(name, name + 1, strlen(name));
	if (!reference_is_repository(name))
		return -EINVAL;
	*ret = steal(&name);
	return 0;
}
