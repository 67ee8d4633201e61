/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a counted table and not pointers as node ids: an id that the kernel (or a
 * bug) names too late must find nothing, never freed memory; and ids that are
 * never used again need no generations.
 *
 * A name that comes to mean something else (a tag that moved) gets a new node;
 * the old one stays for those who hold it and is no longer found by name.
 */
#include "fs/inode.h"

#include <stdlib.h>
#include <string.h>

#include "fs/fs_private.h"
#include "util/auto.h"
#include "util/hash.h"
#include "util/map.h"
#include "util/metric.h"

#define INODE_RANK_SHIFT 60

struct inodes {
	pthread_mutex_t lock;
	struct map *by_id;   /* id -> node; protected by lock */
	struct map *by_name; /* parent id + name -> node; protected by lock */
	uint64_t next_id;    /* protected by lock */
};

int inodes_new(struct inodes **ret)
{
	struct inodes *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = map_new(&t->by_id);
	if (r == 0)
		r = map_new(&t->by_name);
	if (r < 0) {
		map_free(t->by_id, NULL);
		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->next_id = FUSE_ROOT_ID;
	*ret = t;
	return 0;
}

static void node_free(void *p)
{
	struct node *n = p;

	if (n->ops->done)
		n->ops->done(n);
	free(n->name);
	free(n);
}

void inodes_free(struct inodes *t)
{
	if (!t)
		return;
	map_free(t->by_name, NULL);
	map_free(t->by_id, node_free);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- names; the lock is held --- */

struct name_key {
	uint64_t parent;
	char name[NAME_MAX + 1];
};

static size_t name_key_init(struct name_key *k, uint64_t parent,
			    const char *name)
{
	size_t len = strnlen(name, NAME_MAX);

	k->parent = parent;
	memcpy(k->name, name, len);
	return offsetof(struct name_key, name) + len;
}

static struct node *name_find(struct inodes *t, uint64_t parent,
			      const char *name)
{
	struct name_key k;
	size_t len = name_key_init(&k, parent, name);

	return map_findn(t->by_name, &k, len);
}

static void name_drop(struct inodes *t, struct node *n)
{
	struct name_key k;
	size_t len;

	if (!n->hashed)
		return;
	len = name_key_init(&k, n->parent->id, n->name);
	map_removen(t->by_name, &k, len);
	n->hashed = false;
}

/* Without memory the node is not found by name: it is not shared, no more. */
static void name_enter(struct inodes *t, struct node *n)
{
	struct node *old = name_find(t, n->parent->id, n->name);
	struct name_key k;
	size_t len;

	if (old)
		name_drop(t, old);
	len = name_key_init(&k, n->parent->id, n->name);
	n->hashed = map_putn(t->by_name, &k, len, n, NULL) == 0;
}

/* --- life --- */

void inodes_add_root(struct inodes *t, struct node *root)
{
	autolock(&t->lock);
	root->id = t->next_id++;
	root->nlookup = 1;
	/* A table that cannot hold its first entry: every request is ESTALE. */
	map_putn(t->by_id, &root->id, sizeof(root->id), root, NULL);
}

struct node *inode_get(struct inodes *t, uint64_t id)
{
	struct node *n;

	autolock(&t->lock);
	n = map_findn(t->by_id, &id, sizeof(id));
	if (n)
		n->refs++;
	return n;
}

static bool node_unused(const struct node *n)
{
	return n->refs == 0 && n->nlookup == 0;
}

/* Frees n if nobody wants it, and then perhaps its parents.  The lock is held,
 * and dropped around the freeing. */
static void reap(struct inodes *t, struct node *n)
{
	while (n && node_unused(n) && n->parent) {
		struct node *parent = n->parent;

		name_drop(t, n);
		map_removen(t->by_id, &n->id, sizeof(n->id));
		metric_add(METRIC_NODES, -1);
		pthread_mutex_unlock(&t->lock);
		node_free(n); /* may wait for a download to stop */
		pthread_mutex_lock(&t->lock);
		parent->refs--;
		n = parent;
	}
}

void inode_put(struct inodes *t, struct node *n)
{
	if (!n)
		return;
	autolock(&t->lock);
	n->refs--;
	reap(t, n);
}

struct node *inode_known(struct inodes *t, struct node *parent,
			 const char *name)
{
	struct node *n;

	autolock(&t->lock);
	n = name_find(t, parent->id, name);
	if (n)
		n->refs++;
	return n;
}

static int node_insert(struct inodes *t, struct node *n)
{
	int r;

	n->id = t->next_id++;
	r = map_putn(t->by_id, &n->id, sizeof(n->id), n, NULL);
	if (r < 0)
		return r;
	n->parent->refs++;
	metric_add(METRIC_NODES, 1);
	name_enter(t, n);
	return 0;
}

struct node *inode_enter(struct inodes *t, struct node *n)
{
	struct node *old = NULL;

	pthread_mutex_lock(&t->lock);
	if (n->id == 0) {
		old = name_find(t, n->parent->id, n->name);
		if (old && (old->version != n->version || old->ops != n->ops))
			old = NULL;
		if (!old && node_insert(t, n) < 0) {
			pthread_mutex_unlock(&t->lock);
			node_free(n);
			return NULL;
		}
	}
	if (old) {
		old->refs++;
		old->nlookup++;
		pthread_mutex_unlock(&t->lock);
		node_free(n);
		return old;
	}
	/* `n` was known already: its caller's reference goes on. */
	if (n->refs == 0)
		n->refs = 1;
	n->nlookup++;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void inode_forget(struct inodes *t, uint64_t id, uint64_t nlookup)
{
	struct node *n;

	autolock(&t->lock);
	n = map_findn(t->by_id, &id, sizeof(id));
	if (!n)
		return;
	n->nlookup -= nlookup < n->nlookup ? nlookup : n->nlookup;
	reap(t, n);
}

size_t inodes_len(struct inodes *t)
{
	autolock(&t->lock);
	return map_len(t->by_id);
}

/* --- making nodes --- */

static uint64_t path_hash(const struct node *parent, const char *name)
{
	uint8_t sum[HASH_MAX];
	struct hash h;
	uint64_t out;

	/* SHA-256: names come from strangers, who must not make two paths
	 * share a number. */
	hash_init(&h, HASH_SHA256);
	if (parent)
		hash_update(&h, &parent->path_hash, sizeof(parent->path_hash));
	hash_update(&h, name, strlen(name));
	hash_final(&h, sum);
	memcpy(&out, sum, sizeof(out));
	return out;
}

static uint64_t ino_of(uint64_t hash, enum node_rank rank)
{
	uint64_t mask = ((uint64_t)1 << INODE_RANK_SHIFT) - 1;

	return ((uint64_t)rank << INODE_RANK_SHIFT) | (hash & mask);
}

uint64_t node_child_ino(const struct node *parent, const char *name,
			enum node_rank rank)
{
	return ino_of(path_hash(parent, name), rank);
}

int node_new(const struct node_ops *ops, size_t size, struct node *parent,
	     const char *name, enum node_rank rank, struct node **ret)
{
	struct node *n = calloc(1, size);

	if (!n)
		return -ENOMEM;
	n->name = strdup(name);
	if (!n->name) {
		free(n);
		return -ENOMEM;
	}
	n->ops = ops;
	n->parent = parent;
	n->fs = parent ? parent->fs : NULL;
	n->path_hash = path_hash(parent, name);
	n->ino = ino_of(n->path_hash, rank);
	*ret = n;
	return 0;
}
