/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering costs no request: a path component may belong to a name that no
 * catalogue shows.  Opening for listing asks: the tags tell whether the path is
 * a repository, the catalogue what is beneath; ENOENT only if both say no.
 */
#include "fs/dir_repo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/catalogue.h"
#include "content/listing.h"
#include "content/repo.h"
#include "content/resolve.h"
#include "fs/caller.h"
#include "fs/dir_about.h"
#include "fs/dir_manifests.h"
#include "fs/dir_refs.h"
#include "fs/dir_tags.h"
#include "fs/file_draft.h"
#include "fs/naming.h"
#include "fs/overlay.h"
#include "fs/shortname.h"
#include "oci/reference.h"
#include "push/draft.h"
#include "util/auto.h"

struct dir_repo {
	struct node node;
	char *host, *path;
};

/* path/name, or name at the top. */
static char *path_join(const struct dir_repo *d, const char *name)
{
	return d->path[0] ? str_printf("%s/%s", d->path, name) : strdup(name);
}

static int repo_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	node_mount_time(n, a);
	return 0;
}

static void repo_done(struct node *n)
{
	struct dir_repo *d = (struct dir_repo *)n;

	free(d->host);
	free(d->path);
}

static const struct node_ops repo_ops;

/* --- look-up --- */

/* `path`: of the repository, which is none. */
static void report_short(struct dir_repo *d, const char *path, const char *name,
			 int error)
{
	autofree char *object =
		str_printf("%s%s%s", d->path, d->path[0] ? "/" : "", name);
	autofree char *text = str_printf("no repository of Docker Hub has such "
					 "a name; the official image is "
					 "library/%s",
					 path);

	if (object && text)
		content_report(node_content(&d->node), d->host, object, error,
			       text);
}

/* Is the link only in the way of who makes an image of that name, and is to
 * hear why there can be none?  Not if it leads somewhere. */
static bool hinders_making(struct dir_repo *d, const char *path,
			   const char *tag, struct wait *w)
{
	autofree char *real = str_printf("library/%s", path);
	autoptr(repo) repo = NULL;
	autoptr(draft) draft = NULL;
	enum caller_intent intent = caller_intent(w->tid);
	struct resolved res;
	int r;

	if (node_options(&d->node)->read_only ||
	    (intent != CALLER_MAKES_DIRECTORY && intent != CALLER_MAKES))
		return false;
	r = real ? repo_open(node_content(&d->node), d->host, real, &repo)
		 : -ENOMEM;
	if (r == 0)
		r = resolve_is_absent(repo, tag)
			    ? -ENOENT
			    : resolve_tag(repo, tag, w, &res);
	return r < 0 && repo && overlay_find(&d->node, repo, tag, &draft) < 0;
}

/* docker.io/alpine/_tags -> ../library/alpine/_tags */
static int lookup_short(struct dir_repo *d, const char *name,
			struct node *known, struct node **ret)
{
	autofree char *rest = str_printf("%s/%s", d->path, name);

	if (!rest)
		return -ENOMEM;
	for (size_t i = 0; i < dir_refs_count(); i++) {
		if (strcmp(name, dir_refs_name(i)) != 0)
			continue;
		if (d->node.parent)
			return short_link_new(&d->node, name, "../", rest,
					      known, ret);
		/* library/ is not in this mount */
		report_short(d, d->path, name, ENOENT);
	}
	return -ENOENT;
}

static int lookup_reserved(struct dir_repo *d, const char *name,
			   struct node *known, struct node **ret)
{
	autoptr(repo) repo = NULL;
	int r;

	if (!d->path[0])
		return -ENOENT;
	if (short_name(d->host, d->path))
		return lookup_short(d, name, known, ret);
	if (known) {
		*ret = known;
		return 0;
	}
	r = repo_open(node_content(&d->node), d->host, d->path, &repo);
	return r < 0 ? r : dir_refs_new(&d->node, name, repo, ret);
}

static int lookup_component(struct dir_repo *d, const char *path,
			    const char *name, struct node *known,
			    struct node **ret)
{
	int r;

	if (known && known->ops == &repo_ops) {
		*ret = known;
		return 0;
	}
	r = content_allowed(node_content(&d->node), d->host, path);
	return r < 0 ? r : dir_repo_new(&d->node, name, d->host, path, ret);
}

/* app:1.4 and app@sha256:… */
static int lookup_image(struct dir_repo *d, const char *path, const char *name,
			const struct reference_name *ref, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	autoptr(repo) repo = NULL;
	autofree char *up = str_printf("../%s", ref->component);
	int r;

	if (!up)
		return -ENOMEM;
	if (short_name(d->host, path) && ref->kind == REFERENCE_TAG &&
	    hinders_making(d, path, ref->tag, w)) {
		*ttl_s = 0;
		return -ENOENT;
	}
	if (short_name(d->host, path))
		return short_link_new(&d->node, name, "", name, known, ret);
	r = repo_open(node_content(&d->node), d->host, path, &repo);
	if (r < 0)
		return r;
	if (ref->kind == REFERENCE_TAG)
		return dir_tags_find(&d->node, name, repo, ref->tag, up, known,
				     w, ret, ttl_s);
	return dir_manifests_find(&d->node, name, repo, &ref->digest, up, known,
				  w, ret, ttl_s);
}

static int repo_lookup(struct node *dir, const char *name, struct node *known,
		       struct wait *w, struct node **ret, double *ttl_s)
{
	struct dir_repo *d = (struct dir_repo *)dir;
	struct reference_name ref;
	autofree char *path = NULL;

	if (name[0] == '.')
		return dir_about_lookup(dir, name, known, ret);
	if (name[0] == '_')
		return lookup_reserved(d, name, known, ret);
	if (reference_parse_name(name, &ref) < 0)
		return -ENOENT;
	path = path_join(d, ref.component);
	if (!path)
		return -ENOMEM;
	if (strlen(d->host) + 1 + strlen(path) > REFERENCE_NAME_MAX)
		return -ENOENT;
	if (ref.kind == REFERENCE_COMPONENT)
		return lookup_component(d, path, name, known, ret);
	return lookup_image(d, path, name, &ref, known, w, ret, ttl_s);
}

/* --- listing --- */

struct repo_handle {
	struct catalogue *catalogue;
	bool is_repository;
};

static int any_draft(void *arg, const char *name, mode_t type)
{
	(void)name;
	(void)type;
	*(bool *)arg = true;
	return 0;
}

/* Is an image being written into it?  Then it soon is one. */
static bool is_written(struct dir_repo *d, struct repo *repo)
{
	struct outbox *o = node_outbox(&d->node);
	bool any = false;

	if (o && !node_options(&d->node)->read_only)
		draft_names(o, repo, any_draft, &any);
	return any;
}

/* Does the registry know it as a repository?  1, 0, or why it is not known. */
static int ask_tags(struct dir_repo *d, struct wait *w)
{
	autoptr(repo) repo = NULL;
	struct listing *l = NULL;
	const char *first;
	int r;

	r = repo_open(node_content(&d->node), d->host, d->path, &repo);
	if (r == 0 && is_written(d, repo))
		return 1;
	if (r == 0)
		r = listing_open_tags(repo, &l);
	if (r < 0)
		return r;
	r = listing_at(l, 0, w, &first);
	listing_unref(l);
	if (r == 0 || r == -ENODATA)
		return 1;
	return r == -ENOENT ? 0 : r;
}

/* Offline, what nobody ever asked for could not be asked for. */
static int find_kind_offline(struct dir_repo *d, struct repo_handle *h,
			     struct wait *w)
{
	enum catalogue_answer answer;
	const char *first;
	int r;

	r = catalogue_find(h->catalogue, d->path, w, &answer);
	if (r < 0)
		return r;
	h->is_repository = answer == CATALOGUE_REPOSITORY;
	if (h->is_repository)
		return 0;
	r = catalogue_child(h->catalogue, d->path, 0, w, &first);
	return r == -ENODATA ? -ENETDOWN : r;
}

/* 1: the catalogue has it. */
static int ask_catalogue(struct dir_repo *d, struct repo_handle *h,
			 struct wait *w)
{
	enum catalogue_answer answer;
	int r = catalogue_find(h->catalogue, d->path, w, &answer);

	if (r < 0)
		return r;
	h->is_repository = answer == CATALOGUE_REPOSITORY;
	return h->is_repository || answer == CATALOGUE_PREFIX;
}

/* What the directory is; -ENOENT only if the tags and the catalogue say no. */
static int find_kind(struct dir_repo *d, struct repo_handle *h, struct wait *w)
{
	int tags, r = 0;

	if (node_options(&d->node)->offline)
		return find_kind_offline(d, h, w);
	if (!d->path[0])
		return 0;
	/* Where it can hardly be a repository, the registry's answer would be
	 * a refusal. */
	if (catalogue_is_way(h->catalogue, d->path))
		r = ask_catalogue(d, h, w);
	if (r != 0)
		return r < 0 ? r : 0;
	tags = ask_tags(d, w);
	if (tags > 0) {
		h->is_repository = true;
		return 0;
	}
	/* -EINVAL: it calls the names of namespaces no names (Gitea). */
	if (tags < 0 && tags != -EACCES && tags != -EPERM && tags != -EINVAL)
		return tags;
	r = ask_catalogue(d, h, w);
	if (r != 0)
		return r < 0 ? r : 0;
	return tags < 0 ? tags : -ENOENT;
}

static void repo_handle_free(struct repo_handle *h)
{
	catalogue_unref(h->catalogue);
	free(h);
}

static int repo_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct dir_repo *d = (struct dir_repo *)dir;
	struct repo_handle *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	r = catalogue_open(node_content(dir), d->host, &h->catalogue);
	if (r < 0) {
		free(h);
		return r;
	}
	r = find_kind(d, h, w);
	if (r < 0) {
		repo_handle_free(h);
		return r;
	}
	*ret_handle = h;
	return 0;
}

static void repo_closedir(struct node *dir, void *handle)
{
	(void)dir;
	repo_handle_free(handle);
}

/* .registryfs and the reserved names precede the children. */
static size_t specials(void)
{
	return 1 + dir_refs_count();
}

/* Number i of these; NULL: not shown here. */
static const char *special_name(const struct node *dir,
				const struct repo_handle *h, uint64_t i)
{
	if (i == 0)
		return dir->parent ? NULL : DIR_ABOUT_NAME;
	return h->is_repository ? dir_refs_name(i - 1) : NULL;
}

static bool add_specials(struct node *dir, const struct repo_handle *h,
			 uint64_t *off, struct dir_sink *sink)
{
	for (uint64_t i = *off - 2; i < specials(); i++) {
		const char *name = special_name(dir, h, i);

		if (name &&
		    !sink->add(sink, name, S_IFDIR,
			       node_child_ino(dir, name, NODE_RANK_PLAIN),
			       i + 3))
			return false;
		*off = i + 3;
	}
	return true;
}

static int repo_readdir(struct node *dir, void *handle, uint64_t off,
			struct wait *w, struct dir_sink *sink)
{
	const struct dir_repo *d = (struct dir_repo *)dir;
	const struct repo_handle *h = handle;
	const char *name;
	int r;

	if (!dir_add_dots(dir, &off, sink) || !add_specials(dir, h, &off, sink))
		return 0;
	for (uint64_t i = off - 2 - specials();; i++) {
		r = catalogue_child(h->catalogue, d->path, (size_t)i, w, &name);
		if (r < 0)
			return r == -ENODATA ? 0 : r;
		if (!sink->add(sink, name, S_IFDIR,
			       node_child_ino(dir, name, NODE_RANK_PLAIN),
			       i + 3 + specials()))
			return 0;
	}
}

/* --- writing --- */

/* What app:1.4 and app@sha256:… name beneath this directory: -EPERM, other
 * names are none that could be made. */
static int parse_image_name(struct dir_repo *d, const char *name,
			    struct reference_name *ret, struct repo **ret_repo)
{
	autofree char *path = NULL;

	if (reference_parse_name(name, ret) < 0 ||
	    ret->kind == REFERENCE_COMPONENT)
		return -EPERM;
	path = path_join(d, ret->component);
	if (!path)
		return -ENOMEM;
	if (!reference_fits(d->host, path))
		return -ENAMETOOLONG;
	if (short_name(d->host, path)) {
		report_short(d, path, name, EPERM);
		return -EPERM;
	}
	return repo_open(node_content(&d->node), d->host, path, ret_repo);
}

static int repo_mkdir(struct node *dir, const char *name, pid_t tid,
		      struct node **ret)
{
	autoptr(repo) repo = NULL;
	autofree char *up = NULL;
	struct reference_name ref;
	int r;

	r = parse_image_name((struct dir_repo *)dir, name, &ref, &repo);
	if (r < 0)
		return r;
	up = str_printf("../%s", ref.component);
	if (!up)
		return -ENOMEM;
	return ref.kind == REFERENCE_TAG
		       ? dir_tags_begin(dir, name, repo, ref.tag, up, tid, ret)
		       : dir_manifests_begin(dir, name, repo, &ref.digest, up,
					     tid, ret);
}

/* A tag that is made to mean what another name means. */
static int link_name(struct dir_repo *d, const char *name, const char *target,
		     struct wait *w)
{
	autoptr(repo) repo = NULL;
	struct reference_name ref;
	int r;

	r = parse_image_name(d, name, &ref, &repo);
	if (r < 0)
		return r;
	return ref.kind == REFERENCE_TAG
		       ? naming_link(&d->node, repo, ref.tag, target, w)
		       : -EPERM;
}

static int repo_symlink(struct node *dir, const char *name, const char *target,
			struct wait *w, struct node **ret)
{
	struct dir_repo *d = (struct dir_repo *)dir;
	int r;

	r = link_name(d, name, target, w);
	return r < 0 ? r : link_draft_new(dir, name, target, 0, ret);
}

static int repo_rmdir(struct node *dir, const char *name, struct wait *w)
{
	autoptr(repo) repo = NULL;
	struct reference_name ref;
	int r;

	r = parse_image_name((struct dir_repo *)dir, name, &ref, &repo);
	if (r < 0)
		return r;
	return ref.kind == REFERENCE_TAG
		       ? naming_remove_tag(dir, repo, ref.tag, w)
		       : naming_remove_digest(dir, repo, &ref.digest, w);
}

static int repo_rename(struct node *dir, const char *name, struct node *to,
		       const char *new_name, bool keep, struct wait *w)
{
	struct dir_repo *d = (struct dir_repo *)dir;
	struct reference_name ref, new_ref;
	autoptr(repo) repo = NULL;
	int r;

	(void)keep; /* the kernel has looked */
	if (to != dir)
		return -EPERM;
	r = parse_image_name(d, name, &ref, &repo);
	if (r < 0)
		return r;
	if (reference_parse_name(new_name, &new_ref) < 0 ||
	    ref.kind != REFERENCE_TAG || new_ref.kind != REFERENCE_TAG ||
	    strcmp(ref.component, new_ref.component) != 0)
		return -EPERM;
	return naming_rename(dir, repo, ref.tag, new_ref.tag, w);
}

static const struct node_ops repo_ops = {
	.type = S_IFDIR,
	.getattr = repo_getattr,
	.done = repo_done,
	.lookup = repo_lookup,
	.opendir = repo_opendir,
	.readdir = repo_readdir,
	.closedir = repo_closedir,
	.volatile_list = true,
	.settable = true,
	.mkdir = repo_mkdir,
	.symlink = repo_symlink,
	.rmdir = repo_rmdir,
	.rename = repo_rename,
};

int dir_repo_new(struct node *parent, const char *name, const char *host,
		 const char *path, struct node **ret)
{
	autofree char *host_copy = strdup(host), *path_copy = strdup(path);
	struct dir_repo *d;
	struct node *n;
	int r;

	if (!host_copy || !path_copy)
		return -ENOMEM;
	r = node_new(&repo_ops, sizeof(*d), parent, name, NODE_RANK_PLAIN, &n);
	if (r < 0)
		return r;
	d = (struct dir_repo *)n;
	d->host = steal(&host_copy);
	d->path = steal(&path_copy);
	*ret = n;
	return 0;
}
