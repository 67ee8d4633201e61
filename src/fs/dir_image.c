/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States:
 *
 *   unpinned (a tag that a listing named; nothing was asked) -> pinned
 *   unborn (begun by mkdir) --published--> unpinned
 *
 * The image of a pinned directory never changes; when the tag moves, its name
 * gets another node.  Its own time is known once something inside was looked
 * at.  An unborn one keeps its draft, which would else be gone while empty.
 */
#include "fs/dir_image.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "content/resolve.h"
#include "fs/file_draft.h"
#include "fs/giveway.h"
#include "fs/image_members.h"
#include "fs/image_xattr.h"
#include "fs/news.h"
#include "fs/overlay.h"
#include "fs/snapshot.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/process.h"

struct dir_image {
	struct node node;
	struct repo *repo;
	char *tag, *up;
	char *name; /* the tag, or the digest's text */
	struct news_place place;
	atomic_bool unborn;
	_Atomic uint64_t asked_ms; /* when, about an unborn one */
	pid_t maker;		   /* the process that began it; 0: none */
	pthread_mutex_t lock;
	struct draft *draft; /* of an unborn one; protected by lock */
	struct image *image; /* set once; protected by lock */
};

static const struct node_ops image_ops;

struct image *dir_image_peek(struct node *n)
{
	struct dir_image *d = (struct dir_image *)n;

	autolock(&d->lock);
	return d->image;
}

/* Takes `i` over. */
static struct image *pin_to(struct dir_image *d, struct image *i)
{
	autoptr(draft) done = NULL;

	autolock(&d->lock);
	done = steal(&d->draft);
	if (d->image)
		image_unref(i);
	else
		d->image = i;
	atomic_store(&d->unborn, false);
	return d->image;
}

static int open_by_tag(struct dir_image *d, struct wait *w, struct image **ret)
{
	struct resolved res;
	int r;

	r = resolve_tag(d->repo, d->tag, w, &res);
	return r < 0 ? r : image_open(d->repo, &res.digest, d->tag, ret);
}

static int open_by_digest(struct dir_image *d, struct wait *w,
			  struct image **ret)
{
	const struct manifest *m;
	struct digest digest;
	struct image *i = NULL;
	int r;

	r = digest_parse(d->name, &digest);
	if (r == 0)
		r = image_open(d->repo, &digest, NULL, &i);
	if (r < 0)
		return r;
	r = image_root(i, w, &m);
	if (r < 0) {
		image_unref(i);
		return r;
	}
	*ret = i;
	return 0;
}

int dir_image_get(struct node *n, struct wait *w, struct image **ret)
{
	struct dir_image *d = (struct dir_image *)n;
	struct image *i = dir_image_peek(n);
	int r;

	if (!i) {
		if (atomic_load(&d->unborn))
			return -ENOENT;
		r = d->tag ? open_by_tag(d, w, &i) : open_by_digest(d, w, &i);
		if (r < 0)
			return r;
		i = pin_to(d, i);
	}
	*ret = i;
	return 0;
}

static int image_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	struct image *i = dir_image_peek(n);

	(void)w;
	a->st.st_mode |= NODE_DIR_MODE;
	if (i)
		image_time_known(i, &a->st.st_mtim);
	return 0;
}

static void image_done(struct node *n)
{
	struct dir_image *d = (struct dir_image *)n;

	news_delist(n, &d->place);
	draft_unref(d->draft);
	image_unref(d->image);
	repo_unref(d->repo);
	pthread_mutex_destroy(&d->lock);
	free(d->tag);
	free(d->up);
	free(d->name);
}

/* Something was published, tagged or removed under its name. */
static void image_changed(struct node *n)
{
	atomic_store(&((struct dir_image *)n)->unborn, false);
}

/* By a tag, pinned to this digest. */
static bool image_means(struct node *n, const char *digest)
{
	const struct image *i = dir_image_peek(n);
	char text[DIGEST_TEXT_MAX];

	if (!i)
		return false;
	digest_format(image_digest(i), text);
	return strcmp(text, digest) == 0;
}

/* --- who it is --- */

bool dir_image_is_one(const struct node *n)
{
	return n->ops == &image_ops;
}

struct node *dir_image_above(struct node *n)
{
	while (n && !dir_image_is_one(n))
		n = n->parent;
	return n;
}

struct repo *dir_image_repo(struct node *n)
{
	return ((struct dir_image *)n)->repo;
}

pid_t dir_image_maker(struct node *n)
{
	return ((struct dir_image *)n)->maker;
}

const char *dir_image_name(struct node *n)
{
	return ((struct dir_image *)n)->name;
}

bool dir_image_same(struct node *a, struct node *b)
{
	const struct repo *ra = dir_image_repo(a), *rb = dir_image_repo(b);

	return strcmp(dir_image_name(a), dir_image_name(b)) == 0 &&
	       strcmp(repo_host(ra), repo_host(rb)) == 0 &&
	       strcmp(repo_name(ra), repo_name(rb)) == 0;
}

bool dir_image_is_unborn(struct node *n)
{
	return dir_image_is_one(n) && !dir_image_peek(n) &&
	       atomic_load(&((struct dir_image *)n)->unborn);
}

bool dir_image_is_due(struct node *n, uint64_t after_ms)
{
	struct dir_image *d = (struct dir_image *)n;
	uint64_t now = clock_ms(), asked = atomic_load(&d->asked_ms);

	return now - asked >= after_ms &&
	       atomic_compare_exchange_strong(&d->asked_ms, &asked, now);
}

bool dir_image_is(struct node *n, const struct digest *d)
{
	struct image *i;

	if (!dir_image_is_one(n))
		return false;
	i = dir_image_peek(n);
	if (!d)
		return i == NULL;
	return i && digest_equal(image_digest(i), d);
}

bool dir_image_adopt(struct node *n, const struct digest *digest)
{
	struct dir_image *d = (struct dir_image *)n;
	struct image *i;

	if (dir_image_is(n, NULL) &&
	    image_open(d->repo, digest, d->tag, &i) == 0)
		pin_to(d, i);
	return dir_image_is(n, digest);
}

/* --- the entries --- */

static int lookup_published(struct dir_image *d, const struct image_member *m,
			    struct node *known, struct wait *w,
			    struct node **ret, double *ttl_s)
{
	struct image *i;
	int r;

	r = dir_image_get(&d->node, w, &i);
	if (r == 0 && known && !node_is_draft(known)) {
		*ret = known;
		return 0;
	}
	if (r == 0)
		r = image_member_make(m, &d->node, i, d->up, w, ret);
	if (r < 0)
		*ttl_s = NODE_TTL_NEGATIVE; /* may yet be pushed */
	return r;
}

static int image_lookup(struct node *dir, const char *name, struct node *known,
			struct wait *w, struct node **ret, double *ttl_s)
{
	const struct image_member *m = image_member_find(name);
	int r = -ENOENT;

	if (m && give_way_hidden(dir, name, image_member_type(m), w))
		*ttl_s = 0;
	else if (m)
		r = lookup_published((struct dir_image *)dir, m, known, w, ret,
				     ttl_s);
	if (r == 0 && image_member_type(m) == S_IFDIR)
		give_way_tell(dir, name, w);
	return r == -ENOENT ? overlay_lookup(dir, name, known, w, ret, ttl_s)
			    : r;
}

static int image_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	autoptr(snapshot) s = calloc(1, sizeof(*s));
	struct image *i;
	int r;

	if (!s)
		return -ENOMEM;
	r = dir_image_get(dir, w, &i);
	if (r == 0)
		r = image_members_list(i, w, s);
	else if (dir_image_is_unborn(dir))
		r = 0;
	if (r == 0)
		r = overlay_list(dir, s);
	if (r < 0)
		return r;
	*ret_handle = steal(&s);
	return 0;
}

/* --- attributes --- */

static int image_listxattr(struct node *n, struct wait *w, struct str *names)
{
	struct image *i;
	int r;

	if (dir_image_is_unborn(n))
		return 0;
	r = dir_image_get(n, w, &i);
	return r < 0 ? r : image_xattr_list(i, w, names);
}

static int image_getxattr(struct node *n, struct wait *w, const char *name,
			  struct str *value)
{
	struct image *i;
	int r;

	/* ls asks for security and access lists of everything it lists. */
	if (strncmp(name, "user.", 5) != 0 || dir_image_is_unborn(n))
		return -ENODATA;
	r = dir_image_get(n, w, &i);
	return r < 0 ? r : image_xattr_get(i, w, name, value);
}

static const struct node_ops image_ops = {
	.type = S_IFDIR,
	.getattr = image_getattr,
	.done = image_done,
	.listxattr = image_listxattr,
	.getxattr = image_getxattr,
	.lookup = image_lookup,
	.opendir = image_opendir,
	.readdir = snapshot_readdir,
	.closedir = snapshot_closedir,
	OVERLAY_DIR_OPS,
};

/* --- making one --- */

static uint64_t version_of(const struct digest *d)
{
	uint64_t v;

	memcpy(&v, d->raw, sizeof(v));
	return v;
}

/* What its name is to the outbox; NULL: no memory. */
static char *name_of(const struct dir_image_spec *spec)
{
	char text[DIGEST_TEXT_MAX];

	if (spec->tag)
		return strdup(spec->tag);
	digest_format(spec->digest, text);
	return strdup(text);
}

/* What is published under the name, as far as that is known now. */
static int open_spec(const struct dir_image_spec *spec, struct image **ret)
{
	*ret = NULL;
	if (!spec->digest || spec->draft)
		return 0;
	return image_open(spec->repo, spec->digest, spec->tag, ret);
}

int dir_image_new(struct node *parent, const char *name,
		  const struct dir_image_spec *spec, struct node **ret)
{
	autofree char *tag = spec->tag ? strdup(spec->tag) : NULL;
	autofree char *up = strdup(spec->up), *text = name_of(spec);
	struct image *i;
	struct dir_image *d;
	struct node *n;
	int r;

	if (!up || !text || (spec->tag && !tag))
		return -ENOMEM;
	r = open_spec(spec, &i);
	if (r < 0)
		return r;
	r = node_new(&image_ops, sizeof(*d), parent, name, NODE_RANK_PLAIN, &n);
	if (r < 0) {
		image_unref(i);
		return r;
	}
	d = (struct dir_image *)n;
	pthread_mutex_init(&d->lock, NULL);
	d->repo = repo_ref(spec->repo);
	d->tag = steal(&tag);
	d->up = steal(&up);
	d->name = steal(&text);
	d->image = i;
	d->draft = spec->draft ? draft_ref(spec->draft) : NULL;
	atomic_init(&d->unborn, spec->draft != NULL);
	atomic_init(&d->asked_ms, clock_ms());
	process_look(spec->maker, &d->maker);
	n->version = i ? version_of(spec->digest) : 0;
	d->place.repo = d->repo;
	d->place.name = d->name;
	d->place.means = image_means;
	d->place.changed = image_changed;
	news_enlist(n, &d->place);
	*ret = n;
	return 0;
}

int dir_image_begin(struct node *parent, const char *name,
		    struct dir_image_spec *spec, struct node **ret)
{
	struct outbox *o = node_outbox(parent);
	autofree char *text = name_of(spec);
	autoptr(draft) d = NULL;
	int r;

	if (!text)
		return -ENOMEM;
	if (!o)
		return -EROFS;
	r = draft_open(o, spec->repo, text, &d);
	if (r < 0)
		return r;
	spec->draft = d;
	return dir_image_new(parent, name, spec, ret);
}
