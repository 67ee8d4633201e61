/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel has looked before it asks: a tag that is there already was
 * answered with EEXIST. */
#include "fs/naming.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "content/doc.h"
#include "content/resolve.h"
#include "fs/linktarget.h"
#include "fs/overlay.h"
#include "push/tagging.h"
#include "util/auto.h"

static int parse_target(struct node *dir, const char *target,
			struct reference *ret)
{
	autostr way = {.max = PATH_MAX};
	int r;

	r = node_way(dir, &way);
	if (r < 0)
		return r == -ENOMEM ? r : -ENAMETOOLONG;
	r = link_target_parse(node_options(dir), way.buf ? way.buf : "", target,
			      ret);
	return r < 0 && r != -ENOMEM ? -EPERM : r;
}

static void report_elsewhere(struct repo *repo, const char *tag)
{
	autofree char *object = str_printf("%s/_tags/%s", repo_name(repo), tag);

	content_report(repo_content(repo), repo_host(repo),
		       object ? object : tag, EXDEV,
		       "a tag cannot lead to another repository; the image "
		       "can be copied");
}

/*
 * ln -sf over a name that is there first makes a link "CuXXXXXX" (coreutils)
 * and renames that.  No link can replace a directory, so all that would come of
 * it is a tag of that name.
 */
static bool is_temporary(const char *name)
{
	if (strlen(name) != 8 || !str_prefix(name, "Cu"))
		return false;
	for (const char *p = name + 2; *p; p++)
		if (!isalnum((unsigned char)*p))
			return false;
	return true;
}

static int refuse_temporary(struct repo *repo, const char *tag)
{
	autofree char *object = str_printf("%s/_tags/%s", repo_name(repo), tag);

	content_report(repo_content(repo), repo_host(repo),
		       object ? object : tag, EPERM,
		       "a link of this name is taken for one of ln -sf, which "
		       "cannot move a tag; cp -rT can");
	return -EPERM;
}

int naming_link(struct node *dir, struct repo *repo, const char *tag,
		const char *target, struct wait *w)
{
	struct outbox *o = node_outbox(dir);
	struct reference ref;
	struct resolved res;
	int r;

	if (is_temporary(tag))
		return refuse_temporary(repo, tag);
	r = parse_target(dir, target, &ref);
	if (r < 0)
		return r;
	if (!o)
		return -EROFS;
	if (strcmp(ref.host, repo_host(repo)) != 0 ||
	    strcmp(ref.repository, repo_name(repo)) != 0) {
		report_elsewhere(repo, tag);
		return -EXDEV;
	}
	if (ref.has_digest)
		return tagging_put(o, repo, tag, &ref.digest, w);
	r = resolve_tag(repo, ref.tag, w, &res);
	return r < 0 ? r : tagging_put(o, repo, tag, &res.digest, w);
}

/* Only written, and nothing published: forgotten. */
static int discard(struct node *dir, struct repo *repo, const char *name)
{
	autoptr(draft) d = NULL;
	int r;

	r = overlay_find(dir, repo, name, &d);
	if (r == 0)
		draft_discard(d);
	return r;
}

int naming_remove_tag(struct node *dir, struct repo *repo, const char *tag,
		      struct wait *w)
{
	struct outbox *o = node_outbox(dir);
	struct resolved res;
	int r;

	if (!o)
		return -EROFS;
	r = resolve_tag(repo, tag, w, &res);
	if (r == -ENOENT)
		return discard(dir, repo, tag);
	if (r == 0)
		r = tagging_remove(o, repo, tag, w);
	/* Or what is being written would be found there. */
	if (r == 0)
		(void)discard(dir, repo, tag);
	return r;
}

static bool is_published(struct repo *repo, const struct digest *d,
			 struct wait *w)
{
	struct doc *doc;

	if (doc_fetch(repo, d, w, &doc) < 0)
		return false;
	doc_unref(doc);
	return true;
}

int naming_remove_digest(struct node *dir, struct repo *repo,
			 const struct digest *d, struct wait *w)
{
	struct outbox *o = node_outbox(dir);
	char text[DIGEST_TEXT_MAX];
	int r;

	if (!o)
		return -EROFS;
	digest_format(d, text);
	r = tagging_remove_manifest(o, repo, d, w);
	if (r == 0 || r == -ENOENT ||
	    (r == -EPERM && !is_published(repo, d, w))) {
		int gone = discard(dir, repo, text);

		if (r != 0 && gone == 0)
			r = 0;
	}
	return r;
}

int naming_rename(struct node *dir, struct repo *repo, const char *from,
		  const char *to, struct wait *w)
{
	struct outbox *o = node_outbox(dir);

	return o ? tagging_rename(o, repo, from, to, w) : -EROFS;
}
