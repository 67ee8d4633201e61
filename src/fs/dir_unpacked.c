/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list is read in pages, in the order of the names' bytes, so a directory of
 * a million names is never in memory.  Offsets are 2 + the entry's number; a
 * handle keeps the page that it read last, and goes on behind that page's last
 * name.  Who seeks elsewhere has the page found by its number.
 *
 * A page belongs to whoever took it out of the handle; nobody waits for the
 * network while the handle is locked.
 */
#include "fs/dir_unpacked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file_unpacked.h"
#include "fs/fs_private.h"
#include "util/auto.h"

#define PAGE_NAMES 512
#define PAGE_FOUND 192 /* with their inodes: somewhat more than one answer */
#define XATTR_DIGEST "user.oci.digest"
#define XATTR_ABOUT "user.registryfs.about"

struct page {
	uint64_t first; /* number of its first name */
	struct tree_name *names;
	struct tree_inode *inodes; /* of as many; or NULL */
	size_t len;		   /* 0: there is none at `first` and behind */
};

struct dir_handle {
	pthread_mutex_t lock;
	struct page *page; /* or NULL; protected by lock */
};

struct dir_top {
	struct node_unpacked dir;
	struct digest digest;
};

static void page_free(struct page *p)
{
	if (!p)
		return;
	tree_names_free(p->names, p->len);
	free(p->inodes);
	free(p);
}

AUTOPTR_DEFINE(page, page_free)

/* --- look-up --- */

static const struct node_ops dir_ops, top_ops;

static const struct node_ops *ops_of(uint32_t mode)
{
	return S_ISDIR(mode) ? &dir_ops : file_unpacked_ops(mode);
}

static int find_inode(const struct node_unpacked *u, const struct node_look *l,
		      struct wait *w, struct tree_inode *ret, bool *ret_final)
{
	/* Lists are of what is final. */
	if (l->found) {
		*ret = *(const struct tree_inode *)l->found;
		return 0;
	}
	if (l->hint)
		return unpacked_get(u->unpacked, l->hint, w, ret, ret_final);
	return unpacked_find(u->unpacked, u->ino, l->name, w, ret, ret_final);
}

static int dir_look(struct node *dir, struct node_look *l, struct wait *w,
		    struct node **ret)
{
	const struct node_unpacked *u = (struct node_unpacked *)dir;
	const struct node_ops *ops;
	struct tree_inode i;
	bool final = true;
	int r;

	r = find_inode(u, l, w, &i, &final);
	if (r == -ENOENT && !final)
		l->ttl_s = 0;
	if (r < 0)
		return r;
	ops = ops_of(i.mode);
	if (!ops)
		return -EIO;
	if (l->known && l->known->ops == ops &&
	    ((struct node_unpacked *)l->known)->ino == i.ino)
		*ret = l->known;
	else
		r = node_unpacked_new(ops, dir, l->name, i.ino, ret);
	if (r < 0)
		return r;
	if (!final)
		l->ttl_s = 0;
	node_attr_init(*ret, &l->attr);
	node_unpacked_fill(*ret, &i, final, &l->attr);
	return 0;
}

/* --- listing --- */

static int dir_opendir(struct node *dir, struct wait *w, void **ret_handle)
{
	struct dir_handle *h = calloc(1, sizeof(*h));

	(void)dir;
	(void)w;
	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	*ret_handle = h;
	return 0;
}

static void dir_closedir(struct node *dir, void *handle)
{
	struct dir_handle *h = handle;

	(void)dir;
	page_free(h->page);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static struct page *handle_swap(struct dir_handle *h, struct page *p)
{
	struct page *old;

	autolock(&h->lock);
	old = h->page;
	h->page = p;
	return old;
}

static bool page_holds(const struct page *p, uint64_t number)
{
	return number >= p->first && number - p->first < p->len;
}

static bool page_is_end(const struct page *p, uint64_t number)
{
	return p->len == 0 && p->first == number;
}

/* The page that begins with entry `number`; `before` is perhaps the one in
 * front of it. */
static int page_read(const struct node_unpacked *u, const struct page *before,
		     uint64_t number, bool plus, struct wait *w,
		     struct page **ret)
{
	autoptr(page) p = calloc(1, sizeof(*p));
	const char *after = NULL;
	int r;

	if (!p)
		return -ENOMEM;
	if (before && before->len > 0 && before->first + before->len == number)
		after = before->names[before->len - 1].name;
	p->first = number;
	if (plus && (after || number == 0))
		r = unpacked_list_inodes(u->unpacked, u->ino, after, PAGE_FOUND,
					 w, &p->names, &p->inodes, &p->len);
	else
		r = unpacked_list(u->unpacked, u->ino, after, number,
				  PAGE_NAMES, w, &p->names, &p->len);
	if (r < 0)
		return r;
	*ret = steal(&p);
	return 0;
}

/* Adds what the page has from entry `number` on; false: the sink is full. */
static bool page_add(struct node *dir, const struct page *p, uint64_t number,
		     struct dir_sink *sink)
{
	for (; page_holds(p, number); number++) {
		const struct tree_name *e = &p->names[number - p->first];

		sink->hint = e->ino;
		sink->found = p->inodes ? &p->inodes[number - p->first] : NULL;
		if (!sink->add(sink, e->name, e->mode & S_IFMT,
			       node_numbered_ino(dir, e->ino), number + 3))
			return false;
	}
	return true;
}

static int dir_readdir(struct node *dir, void *handle, uint64_t off,
		       struct wait *w, struct dir_sink *sink)
{
	struct dir_handle *h = handle;
	struct page *p, *next;
	bool more = true;
	uint64_t number;
	int r = 0;

	if (!dir_add_dots(dir, &off, sink))
		return 0;
	number = off - 2;
	p = handle_swap(h, NULL);
	while (more) {
		if (!p || !(page_holds(p, number) || page_is_end(p, number))) {
			r = page_read((struct node_unpacked *)dir, p, number,
				      sink->plus, w, &next);
			if (r < 0)
				break;
			page_free(p);
			p = next;
		}
		more = p->len > 0 && page_add(dir, p, number, sink);
		number = p->first + p->len;
	}
	page_free(handle_swap(h, p));
	return r;
}

/* --- the top --- */

/*
 * To look at the top's attributes is not yet to look inside: shells do that to
 * whatever they complete.  Until somebody does, its own are not known, unless
 * they decide who gets in.  Its change time never changes: tar would take the
 * directory for one that was written to meanwhile.
 */
static int top_getattr(struct node *n, struct wait *w, struct node_attr *a)
{
	const struct dir_top *t = (struct dir_top *)n;

	a->st.st_ctim = n->fs->mounted;
	if (node_enforced(n) || unpacked_at_hand(t->dir.unpacked))
		return node_unpacked_getattr(n, w, a);
	a->st.st_mode |= NODE_DIR_MODE;
	a->st.st_uid = a->st.st_gid = 0;
	node_mount_time(n, a);
	a->ttl_s = 0;
	return 0;
}

/* Who goes in will look inside: tar -C, rsync, cd.  What may be wrong there is
 * told when he does. */
static int top_enter(struct node *n, struct wait *w)
{
	struct node_attr a;
	int r;

	node_attr_init(n, &a);
	r = node_unpacked_getattr(n, w, &a);
	return r == -EINTR ? r : 0;
}

static int top_opendir(struct node *n, struct wait *w, void **ret_handle)
{
	int r = top_enter(n, w);

	return r < 0 ? r : dir_opendir(n, w, ret_handle);
}

static int top_getxattr(struct node *n, struct wait *w, const char *name,
			struct str *value)
{
	const struct dir_top *t = (struct dir_top *)n;
	char text[DIGEST_TEXT_MAX];

	if (strcmp(name, XATTR_ABOUT) == 0)
		return unpacked_about(t->dir.unpacked, w, value);
	if (strcmp(name, XATTR_DIGEST) != 0)
		return node_unpacked_getxattr(n, w, name, value);
	digest_format(&t->digest, text);
	return str_add(value, text);
}

#define COMMON                                                                 \
	.type = S_IFDIR, .long_list = true, .done = node_unpacked_done,        \
	.listxattr = node_unpacked_listxattr, .look = dir_look,                \
	.readdir = dir_readdir, .closedir = dir_closedir

static const struct node_ops dir_ops = {
	COMMON,
	.getattr = node_unpacked_getattr,
	.getxattr = node_unpacked_getxattr,
	.opendir = dir_opendir,
};

static const struct node_ops top_ops = {
	COMMON,
	.getattr = top_getattr,
	.getxattr = top_getxattr,
	.enter = top_enter,
	.opendir = top_opendir,
};

int dir_unpacked_new(struct node *parent, const char *name, struct unpacked *u,
		     const struct digest *d, struct node **ret)
{
	struct dir_top *t;
	int r;

	r = node_new(&top_ops, sizeof(*t), parent, name, NODE_RANK_PLAIN, ret);
	if (r < 0)
		return r;
	t = (struct dir_top *)*ret;
	t->dir.unpacked = unpacked_ref(u);
	t->dir.ino = TREE_ROOT;
	t->digest = *d;
	return 0;
}
