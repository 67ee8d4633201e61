/* SPDX-License-Identifier: Apache-2.0 */
/* What all callbacks share: beginning and ending, attributes, look-up. */
#include "fs/fscall.h"

#include <limits.h>
#include <string.h>

#include "fs/handle.h"
#include "fs/news.h"
#include "push/writer.h"
#include "util/auto.h"
#include "util/metric.h"

#define BLOCK_BYTES 512

static void call_interrupted(fuse_req_t req, void *data)
{
	(void)req;
	wait_interrupt(data);
}

bool call_begin(struct call *c, fuse_req_t req, fuse_ino_t id)
{
	c->req = req;
	c->name = NULL;
	c->fs = fuse_req_userdata(req);
	c->news = news_state(c->fs->news);
	metric_add(METRIC_FUSE_REQUESTS, 1);
	c->node = inode_get(c->fs->inodes, id);
	if (!c->node) {
		fuse_reply_err(req, ESTALE);
		return false;
	}
	wait_init(&c->wait, c->fs->times.meta_budget, fuse_req_ctx(req)->pid);
	fuse_req_interrupt_func(req, call_interrupted, &c->wait);
	return true;
}

void call_uninterrupt(struct call *c)
{
	fuse_req_interrupt_func(c->req, NULL, NULL);
}

void call_move(struct call *from, struct call *to)
{
	call_uninterrupt(from);
	to->req = from->req;
	to->fs = from->fs;
	to->node = from->node;
	to->name = NULL;
	to->news = from->news;
	wait_init(&to->wait, wait_left_ms(&from->wait), from->wait.tid);
	/* libfuse tells at once what has come meanwhile. */
	fuse_req_interrupt_func(to->req, call_interrupted, &to->wait);
}

void call_end(struct call *c)
{
	inode_put(c->fs->inodes, c->node);
}

/* Only what was really wanted: much is looked for in passing. */
static void note_offline(const struct call *c)
{
	const char *source = c->fs->options->source;
	autostr way = {.max = PATH_MAX};
	autofree char *host = NULL;
	const char *at;
	int r = 0;

	if (source)
		r = str_addf(&way, "/%s", source);
	if (r == 0)
		r = node_way(c->node, &way);
	if (r == 0 && c->name)
		r = str_addf(&way, "/%s", c->name);
	if (r < 0 || way.len < 2)
		return;
	at = way.buf + 1;
	host = strndup(at, strcspn(at, "/"));
	at += strcspn(at, "/");
	if (host)
		content_note(c->fs->content, host, at + (*at == '/'), ENETDOWN,
			     "is not in the cache, and the mount is offline");
}

void call_fail(struct call *c, int r)
{
	call_uninterrupt(c);
	if (r == -ENETDOWN)
		note_offline(c);
	if (r < 0)
		metric_add(METRIC_FUSE_ERRORS, 1);
	fuse_reply_err(c->req, -r);
	call_end(c);
}

/* --- attributes --- */

/* What all kinds leave to us. */
static void attr_finish(const struct node *n, struct node_attr *a)
{
	struct stat *st = &a->st;

	if (st->st_mtim.tv_nsec == UTIME_OMIT) {
		st->st_mtim = n->fs->mounted;
		a->ttl_s = 0;
	}
	st->st_atim = st->st_mtim;
	if (st->st_ctim.tv_nsec == UTIME_OMIT)
		st->st_ctim = st->st_mtim;
	/* Never less than the size: cp would take the file for sparse. */
	st->st_blocks =
		st->st_size / BLOCK_BYTES + (st->st_size % BLOCK_BYTES != 0);
}

int node_stat(struct node *n, struct wait *w, struct node_attr *ret)
{
	int r;

	node_attr_init(n, ret);
	r = n->ops->getattr(n, w, ret);
	if (r == 0)
		attr_finish(n, ret);
	return r;
}

int handle_stat(struct node *n, const struct handle *h, struct wait *w,
		struct node_attr *ret)
{
	int r;

	r = node_stat(n, w, ret);
	if (r == 0 && h && h->writer) {
		ret->st.st_size = (off_t)writer_size(h->writer);
		attr_finish(n, ret);
		ret->ttl_s = 0;
	}
	return r;
}

/* --- look-up --- */

/* Asks the kind; *ret is a new node or l->known. */
static int ask_kind(struct call *c, struct node_look *l, struct node **ret)
{
	const struct node_ops *ops = c->node->ops;

	if (ops->look)
		return ops->look(c->node, l, &c->wait, ret);
	if (ops->lookup)
		return ops->lookup(c->node, l->name, l->known, &c->wait, ret,
				   &l->ttl_s);
	return -ENOTDIR;
}

static int look_up(struct call *c, struct node_look *l,
		   struct fuse_entry_param *e)
{
	struct inodes *t = c->fs->inodes;
	struct node *child = NULL;
	int r;

	memset(e, 0, sizeof(*e));
	c->name = l->name;
	if (strlen(l->name) > NAME_MAX)
		return -ENAMETOOLONG;
	/* With all found that is cheap to make, and most often new. */
	if (!l->found)
		l->known = inode_known(t, c->node, l->name);
	r = ask_kind(c, l, &child);
	if (l->known && (r < 0 || child != l->known))
		inode_put(t, l->known);
	e->entry_timeout = l->ttl_s;
	if (r < 0)
		return r;
	child = inode_enter(t, child);
	if (c->node->ops->look)
		attr_finish(child, &l->attr);
	else
		r = node_stat(child, &c->wait, &l->attr);
	if (r < 0)
		inode_forget(t, child->id, 1);
	e->attr = l->attr.st;
	e->attr_timeout = l->attr.ttl_s;
	e->ino = child->id;
	inode_put(t, child);
	return r;
}

int call_look_up(struct call *c, const char *name, struct fuse_entry_param *e)
{
	struct node_look l = {.name = name, .ttl_s = NODE_TTL_FOREVER};

	return look_up(c, &l, e);
}

int call_look_up_listed(struct call *c, const char *name,
			const struct dir_sink *listed,
			struct fuse_entry_param *e)
{
	struct node_look l = {.name = name,
			      .hint = listed->hint,
			      .found = listed->found,
			      .ttl_s = NODE_TTL_FOREVER};

	return look_up(c, &l, e);
}

int call_enter(struct call *c, struct node *n, struct node **ret,
	       struct fuse_entry_param *e)
{
	struct node_attr a;
	struct node *child;
	int r;

	memset(e, 0, sizeof(*e));
	child = inode_enter(c->fs->inodes, n);
	r = node_stat(child, &c->wait, &a);
	if (r < 0) {
		inode_forget(c->fs->inodes, child->id, 1);
		inode_put(c->fs->inodes, child);
		return r;
	}
	/* What it means may change as soon as it is published. */
	e->attr = a.st;
	e->ino = child->id;
	*ret = child;
	return 0;
}

void call_reply_entry(struct call *c, const struct fuse_entry_param *e)
{
	call_uninterrupt(c);
	if (news_reply_entry(c->fs->news, c->news, c->req, e) < 0 && e->ino)
		inode_forget(c->fs->inodes, e->ino, 1);
	call_end(c);
}
