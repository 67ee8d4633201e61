/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a path stands for.  Of an image all names are looked up and all lists
 * read, so that they can be answered again; its blobs, once for each digest and
 * repository, are to be fetched.  The images of an index are images of their
 * own, under their digests.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/warm.h"
#include "oci/manifest.h"
#include "oci/mountpath.h"
#include "util/auto.h"
#include "util/fd.h"
#include "util/str.h"

AUTOPTR_DEFINE(manifest, manifest_free)

/* An image that is being planned. */
struct place {
	char *dir;	  /* the image's */
	char *repository; /* its repository's */
};

/* --- directories --- */

typedef int (*entry_fn)(struct warm *w, const char *path, const char *name,
			const struct stat *st, void *arg);

/* Links are read, too. */
static int one_entry(struct warm *w, const char *dir, const char *name,
		     entry_fn each, void *arg)
{
	autofree char *path = str_printf("%s/%s", dir, name);
	char link[PATH_MAX];
	struct stat st;

	if (!path)
		return -ENOMEM;
	if (lstat(path, &st) == 0 &&
	    (!S_ISLNK(st.st_mode) || readlink(path, link, sizeof(link)) >= 0))
		return each(w, path, name, &st, arg);
	warm_fail(w, path, -errno, NULL);
	return 0;
}

/* Calls with each entry's path, hidden ones apart. */
static int each_entry(struct warm *w, const char *dir, entry_fn each, void *arg)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0) {
		errno = 0;
		e = readdir(d);
		if (!e) {
			r = -errno;
			break;
		}
		if (e->d_name[0] != '.')
			r = one_entry(w, dir, e->d_name, each, arg);
	}
	closedir(d);
	return r;
}

static int push_plan(struct warm *w, const char *path, const char *name,
		     const struct stat *st, void *arg)
{
	struct warm_task t = {.run = warm_plan};
	autofree char *copy = strdup(path);

	(void)name;
	(void)st;
	(void)arg;
	t.path = copy;
	return copy ? warm_push(w, WARM_PLAN, &t) : -ENOMEM;
}

static int plan_named(struct warm *w, const char *repository, const char *refs,
		      const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	autofree char *path = NULL;

	digest_format(d, text);
	path = str_printf("%s/%s/%s", repository, refs, text);
	return path ? push_plan(w, path, text, NULL, NULL) : -ENOMEM;
}

/* --- blobs --- */

static void need(struct warm *w, const struct digest *d, uint64_t bytes)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	if (!warm_first(w, text))
		return;
	autolock(&w->lock);
	w->need_bytes += bytes;
}

/* `path` is the blob as the image, or `_blobs`, shows it. */
static int plan_blob(struct warm *w, const char *repository, const char *path,
		     const struct digest *d, bool layer)
{
	char text[DIGEST_TEXT_MAX];
	autofree char *key = NULL, *index = NULL, *copy = strdup(path);
	struct warm_task t = {.run = warm_blob};
	struct stat st;

	digest_format(d, text);
	key = str_printf("%s %s %s", layer ? "layer" : "blob", repository,
			 text);
	index = str_printf("%s/_layers/%s", repository, text);
	if (!key || !index || !copy)
		return -ENOMEM;
	if (!warm_first(w, key))
		return 0;
	if (lstat(path, &st) < 0)
		return -errno;
	t.path = copy;
	t.layer = layer ? index : NULL;
	t.bytes = (uint64_t)st.st_size;
	need(w, d, t.bytes);
	warm_found(w, t.bytes);
	return warm_push(w, WARM_FETCH, &t);
}

/* One that an image names.  Some may be absent by right: they are not shown. */
static int plan_part(struct warm *w, const struct place *p,
		     const struct digest *d, bool layer)
{
	autofree char *path = NULL;
	char hex[129];
	int r;

	digest_hex(d, hex);
	path = str_printf("%s/blobs/%s/%s", p->dir, digest_alg_name(d), hex);
	if (!path)
		return -ENOMEM;
	r = plan_blob(w, p->repository, path, d, layer);
	return r == -ENOENT ? 0 : r;
}

/* --- images --- */

static int visit(struct warm *w, const char *path, const char *name,
		 const struct stat *st, void *arg)
{
	bool in_blobs = arg != NULL || strcmp(name, "blobs") == 0;
	int r;

	if (S_ISDIR(st->st_mode))
		r = each_entry(w, path, visit, in_blobs ? w : NULL);
	else
		r = S_ISREG(st->st_mode) && !in_blobs
			    ? warm_read(w, path, false)
			    : 0;
	if (r < 0)
		warm_fail(w, path, r, NULL);
	return 0;
}

static int read_manifest(const char *dir, struct manifest **ret)
{
	autofree char *path = str_printf("%s/manifest.json", dir);
	autofree char *bytes = NULL;
	char type[MEDIATYPE_MAX + 1];
	size_t len;
	ssize_t n;
	int r;

	if (!path)
		return -ENOMEM;
	n = getxattr(dir, "user.oci.mediatype", type, sizeof(type) - 1);
	if (n < 0)
		return -errno;
	type[n] = '\0';
	r = fd_read_file(AT_FDCWD, path, MANIFEST_BYTES_MAX, &bytes, &len);
	return r < 0 ? r
		     : manifest_parse(bytes, len, type, HASH_SHA256, ret, NULL);
}

static bool is_chosen(const struct warm_config *c, const struct descriptor *d)
{
	if (c->platforms_len == 0)
		return true;
	for (size_t i = 0; d->has_platform && i < c->platforms_len; i++)
		if (platform_match(&c->platforms[i], &d->platform) > 0)
			return true;
	return false;
}

static int add_name(struct warm *w, const char *path, const char *name,
		    const struct stat *st, void *arg)
{
	if (S_ISDIR(st->st_mode))
		return each_entry(w, path, add_name, arg);
	return map_put(arg, name, arg, NULL);
}

/* The images of an index that the registry has: those that blobs/ shows. */
static int list_blobs(struct warm *w, const struct place *p, struct map **ret)
{
	autofree char *dir = str_printf("%s/blobs", p->dir);
	struct map *names = NULL;
	int r = dir ? map_new(&names) : -ENOMEM;

	if (r == 0)
		r = each_entry(w, dir, add_name, names);
	if (r < 0) {
		map_free(names, NULL);
		return r;
	}
	*ret = names;
	return 0;
}

static bool is_wanted(const struct warm *w, const struct map *there,
		      const struct descriptor *d)
{
	char hex[129];

	digest_hex(&d->digest, hex);
	return mediatype_is_document(mediatype_class(d->mediatype)) &&
	       is_chosen(w->config, d) && map_find(there, hex);
}

static int plan_index(struct warm *w, const struct place *p,
		      const struct manifest *m)
{
	struct map *there;
	bool any = false;
	int r = list_blobs(w, p, &there);

	if (r < 0)
		return r;
	for (size_t i = 0; i < m->children_len && r == 0; i++) {
		const struct descriptor *d = &m->children[i];

		if (!is_wanted(w, there, d))
			continue;
		any = true;
		r = plan_named(w, p->repository, "_manifests", &d->digest);
	}
	map_free(there, NULL);
	if (r == 0 && !any && w->config->platforms_len > 0)
		warm_fail(w, p->dir, -ENOENT,
			  "it has nothing for these platforms");
	return r;
}

static int plan_manifest(struct warm *w, const struct place *p,
			 const struct manifest *m)
{
	autofree char *rootfs = NULL, *link = str_printf("%s/rootfs", p->dir);
	struct warm_task t = {.run = warm_index};
	char text[DIGEST_TEXT_MAX];
	struct stat st;
	int r = 0;

	digest_format(&m->digest, text);
	rootfs = str_printf("%s/_rootfs/%s", p->repository, text);
	if (!link || !rootfs)
		return -ENOMEM;
	if (m->class == MEDIATYPE_MANIFEST)
		r = plan_part(w, p, &m->config.digest, false);
	for (size_t i = 0; i < m->children_len && r == 0; i++)
		r = plan_part(w, p, &m->children[i].digest, true);
	t.path = rootfs;
	if (r == 0 && lstat(link, &st) == 0)
		r = warm_push(w, WARM_MERGE, &t);
	return r;
}

static int plan_referrers(struct warm *w, const struct place *p)
{
	autofree char *dir = str_printf("%s/referrers", p->dir);

	return dir ? each_entry(w, dir, push_plan, NULL) : -ENOMEM;
}

static int plan_image(struct warm *w, const struct place *p)
{
	autoptr(manifest) m = NULL;
	char text[DIGEST_TEXT_MAX];
	autofree char *key = NULL;
	ssize_t n;
	int r;

	n = getxattr(p->dir, "user.oci.digest", text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	key = str_printf("image %s %s", p->repository, text);
	if (!key)
		return -ENOMEM;
	if (!warm_first(w, key))
		return 0;
	r = read_manifest(p->dir, &m);
	if (r == 0)
		r = digest_parse(text, &m->digest);
	if (r == 0)
		r = each_entry(w, p->dir, visit, NULL);
	if (r == 0)
		r = m->class == MEDIATYPE_INDEX ? plan_index(w, p, m)
						: plan_manifest(w, p, m);
	if (r == 0 && w->config->referrers)
		r = plan_referrers(w, p);
	return r;
}

/* --- parts of an image --- */

static int plan_listed_blob(struct warm *w, const char *path, const char *name,
			    const struct stat *st, void *arg)
{
	if (S_ISDIR(st->st_mode))
		return each_entry(w, path, plan_listed_blob, arg);
	return push_plan(w, path, name, st, arg);
}

/* Its views are links to what has a path of its own. */
static int plan_part_of_image(struct warm *w, const char *real,
			      const char *rest)
{
	struct stat st;

	if (lstat(real, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return warm_read(w, real, false);
	if (strncmp(rest, "blobs", 5) == 0)
		return each_entry(w, real, plan_listed_blob, NULL);
	return each_entry(w, real, push_plan, NULL);
}

/* --- any path --- */

static int plan_file(struct warm *w, const char *real, const char *repository,
		     const struct digest *d)
{
	/* A manifest is no blob of its repository's. */
	if (getxattr(real, "user.registryfs.cached", NULL, 0) < 0)
		return errno == ENODATA ? warm_read(w, real, false) : -errno;
	return plan_blob(w, repository, real, d, false);
}

static int plan_layer(struct warm *w, const char *repository,
		      const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	autofree char *blob = NULL;

	digest_format(d, text);
	blob = str_printf("%s/_blobs/%s", repository, text);
	return blob ? plan_blob(w, repository, blob, d, true) : -ENOMEM;
}

/* Only these files; and the index, without which they are not found. */
static int plan_inside(struct warm *w, const char *real, const char *rest)
{
	autofree char *path = strdup(real);
	autofree char *top = strndup(real, strlen(real) - strlen(rest) - 1);
	struct warm_task files = {.run = warm_tree, .path = path};
	struct warm_task index = {.run = warm_index, .path = top};
	int r;

	if (!path || !top)
		return -ENOMEM;
	r = warm_push(w, WARM_FETCH, &files);
	return r < 0 ? r : warm_push(w, WARM_MERGE, &index);
}

static int plan_repository(struct warm *w, const char *repository)
{
	autofree char *tags = str_printf("%s/_tags", repository);

	return tags ? each_entry(w, tags, push_plan, NULL) : -ENOMEM;
}

static int plan_kind(struct warm *w, const char *real,
		     const struct mountpath *p, const char *repository)
{
	struct place place = {.repository = NULL};
	autofree char *dir = strdup(real), *repo = strdup(repository);

	if (!dir || !repo)
		return -ENOMEM;
	place.dir = dir;
	place.repository = repo;
	switch (p->kind) {
	case MOUNTPATH_IMAGE:
		return *p->rest ? plan_part_of_image(w, real, p->rest)
				: plan_image(w, &place);
	case MOUNTPATH_WAY:
		return p->repository[0] ? plan_repository(w, repository)
					: -EINVAL;
	case MOUNTPATH_TAGS:
	case MOUNTPATH_MANIFESTS:
	case MOUNTPATH_BLOBS:
	case MOUNTPATH_LAYERS:
	case MOUNTPATH_ROOTFSES:
		return each_entry(w, real, push_plan, NULL);
	case MOUNTPATH_BLOB:
		return plan_file(w, real, repository, &p->digest);
	case MOUNTPATH_LAYER:
		return *p->rest ? plan_inside(w, real, p->rest)
				: plan_layer(w, repository, &p->digest);
	case MOUNTPATH_ROOTFS:
		return *p->rest ? plan_inside(w, real, p->rest)
				: plan_named(w, repository, "_manifests",
					     &p->digest);
	case MOUNTPATH_ABOUT:
	default:
		return -EINVAL;
	}
}

int warm_plan(struct warm *w, const struct warm_task *t)
{
	autofree char *real = realpath(t->path, NULL), *repository = NULL;
	const char *top = w->mount->top, *beneath;
	struct mountpath p;
	int r;

	if (!real)
		return -errno;
	beneath = real + strlen(top);
	if (!str_prefix(real, top) || (*beneath && *beneath != '/'))
		return -EXDEV;
	beneath += *beneath == '/';
	r = mountpath_parse(beneath, w->mount->source, &p);
	if (r < 0)
		return r;
	repository = p.repository_len
			     ? str_printf("%s/%.*s", top, (int)p.repository_len,
					  beneath)
			     : strdup(top);
	if (!repository)
		return -ENOMEM;
	r = plan_kind(w, real, &p, repository);
	if (r != -EINVAL)
		return r;
	warm_fail(w, t->path, r, "names no image, layer, blob or repository");
	return 0;
}
