/* SPDX-License-Identifier: Apache-2.0 */
/* What it knows comes from the store alone; see the header. */
#include "content/forget.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "content/span.h"
#include "content/spool.h"
#include "oci/manifest.h"
#include "oci/mountpath.h"
#include "store/inventory.h"
#include "store/rows.h"
#include "util/auto.h"

struct item {
	bool manifest;
	bool named;  /* itself */
	bool shared; /* another image needs it */
};

struct forget {
	struct content *content;
	struct map *items; /* by digest */
};

AUTOPTR_DEFINE(manifest, manifest_free)

int forget_new(struct content *c, struct forget **ret)
{
	struct forget *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->content = c;
	r = map_new(&f->items);
	if (r < 0) {
		free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void forget_free(struct forget *f)
{
	if (!f)
		return;
	map_free(f->items, free);
	free(f);
}

static struct item *find(struct forget *f, const struct digest *d)
{
	return map_findn(f->items, d, sizeof(*d));
}

static int add_item(struct forget *f, const struct digest *d, bool manifest,
		    bool named)
{
	struct item *i = find(f, d);
	int r;

	if (i) {
		i->manifest |= manifest;
		i->named |= named;
		return 0;
	}
	if (map_len(f->items) >= FORGET_MAX)
		return -E2BIG;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->manifest = manifest;
	i->named = named;
	r = map_putn(f->items, d, sizeof(*d), i, NULL);
	if (r < 0)
		free(i);
	return r;
}

/* --- images --- */

static int load_manifest(struct forget *f, const struct digest *d,
			 struct manifest **ret)
{
	autofree char *type = NULL, *bytes = NULL;
	size_t len;
	int r;

	r = document_get(f->content->store, d, &type, &bytes, &len);
	if (r == 0)
		r = manifest_parse(bytes, len, type, d->alg, ret, NULL);
	return r == -EBADMSG || r == -EFBIG ? -ENOENT : r;
}

/* -ENOENT: not known. */
static int add_image(struct forget *f, const struct digest *d, int depth)
{
	autoptr(manifest) m = NULL;
	const struct item *known = find(f, d);
	int r;

	if ((known && known->manifest) || depth > MANIFEST_DEPTH_MAX)
		return 0;
	r = load_manifest(f, d, &m);
	if (r == 0)
		r = add_item(f, d, true, false);
	if (r == 0 && m->class == MEDIATYPE_MANIFEST)
		r = add_item(f, &m->config.digest, false, false);
	for (size_t i = 0; i < m->children_len && r == 0; i++) {
		const struct digest *child = &m->children[i].digest;

		if (m->class == MEDIATYPE_INDEX)
			r = add_image(f, child, depth + 1);
		else
			r = add_item(f, child, false, false);
		/* A platform that nobody looked at. */
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

static int add_tag(struct forget *f, struct repo *repo, const char *tag)
{
	struct tag_row row;
	char identity[17];
	int r;

	r = repo_identity(repo, identity);
	if (r == 0)
		r = tag_get(f->content->store, repo->host, repo->name, identity,
			    tag, &row);
	return r < 0 ? r : add_image(f, &row.digest, 0);
}

/* --- many --- */

static int collect_name(void *arg, const char *name)
{
	return string_list_add(arg, name);
}

static int add_tags(struct forget *f, struct repo *repo)
{
	autostrings tags = {0};
	char identity[17];
	int r;

	r = repo_identity(repo, identity);
	if (r == 0)
		r = tag_each(f->content->store, repo->host, repo->name,
			     identity, collect_name, &tags);
	if (r == 0 && tags.len == 0)
		return -ENOENT;
	for (size_t i = 0; i < tags.len && r == 0; i++) {
		r = add_tag(f, repo, tags.v[i]);
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

/* All that the repository is known to hold. */
static int add_repo(struct forget *f, struct repo *repo)
{
	struct string_list list[2] = {{0}, {0}};
	struct digest d;
	int r = 0;

	for (int blobs = 0; blobs < 2 && r == 0; blobs++)
		r = repo_digests(repo, !blobs, &list[blobs]);
	for (int blobs = 0; blobs < 2; blobs++) {
		for (size_t i = 0; i < list[blobs].len && r == 0; i++) {
			if (digest_parse(list[blobs].v[i], &d) < 0)
				continue;
			r = blobs ? add_item(f, &d, false, false)
				  : add_image(f, &d, 0);
			if (r == -ENOENT)
				r = 0;
		}
	}
	if (r == 0 && list[0].len + list[1].len == 0)
		r = -ENOENT;
	string_list_done(&list[0]);
	string_list_done(&list[1]);
	return r;
}

static int add_repo_named(struct forget *f, const char *host, const char *name)
{
	autoptr(repo) repo = NULL;
	int r;

	r = repo_open(f->content, host, name, &repo);
	return r < 0 ? r : add_repo(f, repo);
}

/* The repository of this name, and those beneath. */
static int add_host(struct forget *f, const char *host, const char *way)
{
	size_t len = strlen(way);
	autostrings repos = {0};
	bool any = false;
	int r;

	r = repository_each(f->content->store, host, collect_name, &repos);
	for (size_t i = 0; i < repos.len && r == 0; i++) {
		const char *name = repos.v[i];

		if (len > 0 && (strncmp(name, way, len) != 0 ||
				(name[len] != '\0' && name[len] != '/')))
			continue;
		r = add_repo_named(f, host, name);
		any |= r == 0;
		/* Off the allow list by now: not of this mount. */
		if (r == -ENOENT || r == -EPERM)
			r = 0;
	}
	return r == 0 && !any ? -ENOENT : r;
}

static int add_way(struct forget *f, const struct mountpath *p)
{
	autostrings hosts = {0};
	bool any = false;
	int r;

	if (p->host[0])
		return add_host(f, p->host, p->repository);
	r = host_each(f->content->store, collect_name, &hosts);
	for (size_t i = 0; i < hosts.len && r == 0; i++) {
		r = add_host(f, hosts.v[i], "");
		any |= r == 0;
		if (r == -ENOENT)
			r = 0;
	}
	return r == 0 && !any ? -ENOENT : r;
}

static int add_of_repo(struct forget *f, const struct mountpath *p,
		       struct repo *repo)
{
	switch (p->kind) {
	case MOUNTPATH_TAGS:
		return add_tags(f, repo);
	case MOUNTPATH_MANIFESTS:
	case MOUNTPATH_BLOBS:
	case MOUNTPATH_LAYERS:
	case MOUNTPATH_ROOTFSES:
		return add_repo(f, repo);
	case MOUNTPATH_IMAGE:
		if (*p->rest)
			return -EINVAL;
		return p->tag[0] ? add_tag(f, repo, p->tag)
				 : add_image(f, &p->digest, 0);
	case MOUNTPATH_ROOTFS:
		return *p->rest ? -EINVAL : add_image(f, &p->digest, 0);
	case MOUNTPATH_BLOB:
	case MOUNTPATH_LAYER:
		return *p->rest ? -EINVAL
				: add_item(f, &p->digest, false, true);
	case MOUNTPATH_ABOUT:
	case MOUNTPATH_WAY:
	default:
		return -EINVAL;
	}
}

int forget_add(struct forget *f, const char *path)
{
	autoptr(repo) repo = NULL;
	struct mountpath p;
	int r;

	r = mountpath_parse(path, f->content->options->source, &p);
	if (r < 0 || p.kind == MOUNTPATH_ABOUT)
		return -EINVAL;
	if (p.kind == MOUNTPATH_WAY)
		return add_way(f, &p);
	r = repo_open(f->content, p.host, p.repository, &repo);
	return r < 0 ? r : add_of_repo(f, &p, repo);
}

/* --- what others need --- */

static int collect_digest(void *arg, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return string_list_add(arg, text);
}

static void mark(struct forget *f, const struct digest *d)
{
	struct item *i = find(f, d);

	if (i)
		i->shared = true;
}

/* An image that is not to be forgotten keeps what it needs. */
static int keep_of(struct forget *f, const struct digest *d)
{
	autoptr(manifest) m = NULL;
	int r;

	r = load_manifest(f, d, &m);
	if (r == -ENOENT)
		return 0;
	if (r < 0 || m->class != MEDIATYPE_MANIFEST ||
	    store_blob_bytes(f->content->store, &m->config.digest) == 0)
		return r;
	mark(f, &m->config.digest);
	for (size_t i = 0; i < m->children_len; i++)
		mark(f, &m->children[i].digest);
	return 0;
}

static int find_shared(struct forget *f)
{
	autostrings all = {0};
	const struct item *i;
	struct digest d;
	int r;

	r = document_each(f->content->store, collect_digest, &all);
	for (size_t n = 0; n < all.len && r == 0; n++) {
		if (digest_parse(all.v[n], &d) < 0)
			continue;
		i = find(f, &d);
		if (!i || !i->manifest)
			r = keep_of(f, &d);
	}
	return r;
}

/* --- the run --- */

static bool is_shared(const struct item *i, const struct forget_how *how)
{
	return i->shared && !i->named && !how->shared;
}

struct index_choice {
	struct forget *f;
	const struct forget_how *how;
};

static bool choose_index(void *arg, const struct digest *d)
{
	const struct index_choice *c = arg;
	const struct item *i = find(c->f, d);

	return i && !is_shared(i, c->how);
}

static void forget_item(struct forget *f, const struct digest *d, bool keep,
			struct forget_result *ret)
{
	struct store *s = f->content->store;
	uint64_t bytes = keep ? store_blob_bytes(s, d)
			      : store_forget_blob(s, d) + spool_forget(s, d);

	if (keep) {
		ret->kept += bytes > 0;
		ret->kept_bytes += bytes;
	} else {
		ret->blobs += bytes > 0;
		ret->bytes += bytes;
	}
}

int forget_run(struct forget *f, const struct forget_how *how,
	       struct forget_result *ret)
{
	struct index_choice choice = {.f = f, .how = how};
	const struct item *i;
	const char *key;
	struct digest d;
	size_t pos = 0;
	int r = 0;

	if (!how->shared)
		r = find_shared(f);
	while (r == 0 && (i = map_next(f->items, &pos, &key))) {
		memcpy(&d, key, sizeof(d));
		forget_item(f, &d, is_shared(i, how), ret);
	}
	if (r == 0 && how->indexes)
		r = store_forget_trees(f->content->store, choose_index, &choice,
				       &ret->indexes, &ret->index_bytes);
	spans_forget(f->content->spans);
	map_free(steal(&f->items), free);
	return r < 0 ? r : map_new(&f->items);
}

int content_prune(struct content *c, uint64_t *ret_bytes)
{
	spans_forget(c->spans);
	return store_prune(c->store, ret_bytes);
}

int content_print_cache(struct content *c, size_t pending, bool json,
			struct str *out)
{
	struct inventory v;
	int r = inventory_take(c->store, &v);

	if (r < 0)
		return r;
	r = json ? inventory_print_json(&v, pending, out)
		 : inventory_print(&v, pending, out);
	inventory_done(&v);
	return r;
}
