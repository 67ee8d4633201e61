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
#define SLOTS_MIN 64

/* Chains through the nodes themselves: there may be a million, and each is in
 * both tables.  All members are protected by the lock. */
struct inodes {
	pthread_mutex_t lock;
	struct node **by_id;   /* by id, which count up */
	struct node **by_name; /* by parent and name */
	size_t slots;	       /* of each table; a power of two */
	size_t used;
	uint64_t next_id;
};

int inodes_new(struct inodes **ret)
{
	struct inodes *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->by_id = calloc(SLOTS_MIN, sizeof(*t->by_id));
	t->by_name = calloc(SLOTS_MIN, sizeof(*t->by_name));
	if (!t->by_id || !t->by_name) {
		free(t->by_id);
		free(t->by_name);
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	t->slots = SLOTS_MIN;
	t->next_id = FUSE_ROOT_ID;
	*ret = t;
	return 0;
}

static void node_free(struct node *n)
{
	if (n->ops->done)
		n->ops->done(n);
	free(n);
}

void inodes_free(struct inodes *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->slots; i++) {
		while (t->by_id[i]) {
			struct node *n = t->by_id[i];

			t->by_id[i] = n->next_id;
			node_free(n);
		}
	}
	free(t->by_id);
	free(t->by_name);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- the tables; the lock is held --- */

static struct node **id_slot(const struct inodes *t, uint64_t id)
{
	return &t->by_id[id & (t->slots - 1)];
}

static struct node **name_slot(const struct inodes *t, uint64_t hash)
{
	return &t->by_name[hash & (t->slots - 1)];
}

/* map_hash has a secret: nobody can choose names that meet. */
static uint64_t name_hash(uint64_t parent, const char *name)
{
	uint64_t h[2] = {parent, map_hash(name, strlen(name))};

	return map_hash(h, sizeof(h));
}

static struct node *id_find(const struct inodes *t, uint64_t id)
{
	struct node *n = *id_slot(t, id);

	while (n && n->id != id)
		n = n->next_id;
	return n;
}

static struct node *name_find(const struct inodes *t, uint64_t hash,
			      const struct node *parent, const char *name)
{
	struct node *n = *name_slot(t, hash);

	while (n && (n->name_hash != hash || n->parent != parent ||
		     strcmp(n->name, name) != 0))
		n = n->next_name;
	return n;
}

static void id_put(struct inodes *t, struct node *n)
{
	struct node **slot = id_slot(t, n->id);

	n->next_id = *slot;
	*slot = n;
}

static void name_put(struct inodes *t, struct node *n)
{
	struct node **slot = name_slot(t, n->name_hash);

	n->next_name = *slot;
	*slot = n;
}

static void id_drop(struct inodes *t, struct node *n)
{
	struct node **at = id_slot(t, n->id);

	while (*at != n)
		at = &(*at)->next_id;
	*at = n->next_id;
	t->used--;
}

static void name_drop(struct inodes *t, struct node *n)
{
	struct node **at = name_slot(t, n->name_hash);

	if (!n->hashed)
		return;
	while (*at != n)
		at = &(*at)->next_name;
	*at = n->next_name;
	n->hashed = false;
}

/* Without memory the chains grow instead. */
static void grow(struct inodes *t)
{
	struct inodes old = {.by_id = t->by_id, .slots = t->slots};
	struct node **ids = calloc(2 * t->slots, sizeof(*ids));
	struct node **names = calloc(2 * t->slots, sizeof(*names));

	if (!ids || !names) {
		free(ids);
		free(names);
		return;
	}
	free(t->by_name);
	t->by_id = ids;
	t->by_name = names;
	t->slots *= 2;
	for (size_t i = 0; i < old.slots; i++) {
		for (struct node *n = old.by_id[i], *next; n; n = next) {
			next = n->next_id;
			id_put(t, n);
			if (n->hashed)
				name_put(t, n);
		}
	}
	free(old.by_id);
}

static void id_enter(struct inodes *t, struct node *n)
{
	if (t->used >= t->slots)
		grow(t);
	n->id = t->next_id++;
	id_put(t, n);
	t->used++;
}

/* --- life --- */

void inodes_add_root(struct inodes *t, struct node *root)
{
	autolock(&t->lock);
	id_enter(t, root);
	root->nlookup = 1;
}

struct node *inode_get(struct inodes *t, uint64_t id)
{
	struct node *n;

	autolock(&t->lock);
	n = id_find(t, id);
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
		id_drop(t, n);
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
	uint64_t hash = name_hash(parent->id, name);
	struct node *n;

	autolock(&t->lock);
	n = name_find(t, hash, parent, name);
	if (n)
		n->refs++;
	return n;
}

void inode_unname(struct inodes *t, struct node *parent, const char *name)
{
	uint64_t hash = name_hash(parent->id, name);
	struct node *n;

	autolock(&t->lock);
	n = name_find(t, hash, parent, name);
	if (n)
		name_drop(t, n);
}

/* From now on this is what the name means. */
static void node_insert(struct inodes *t, struct node *n, struct node *before)
{
	if (before)
		name_drop(t, before);
	id_enter(t, n);
	n->parent->refs++;
	n->hashed = true;
	name_put(t, n);
	metric_add(METRIC_NODES, 1);
}

/* The node that counts; the lock is held. */
static struct node *enter_new(struct inodes *t, struct node *n)
{
	struct node *old = name_find(t, n->name_hash, n->parent, n->name);

	if (old && old->version == n->version && old->ops == n->ops) {
		old->refs++;
		return old;
	}
	node_insert(t, n, old);
	n->refs = 1;
	return n;
}

struct node *inode_enter(struct inodes *t, struct node *n)
{
	struct node *counts = n;

	if (n->id == 0)
		n->name_hash = name_hash(n->parent->id, n->name);
	{
		/* `n` was known already: its caller's reference goes on. */
		autolock(&t->lock);
		if (n->id == 0)
			counts = enter_new(t, n);
		counts->nlookup++;
	}
	if (counts != n)
		node_free(n);
	return counts;
}

void inode_forget(struct inodes *t, uint64_t id, uint64_t nlookup)
{
	struct node *n;

	autolock(&t->lock);
	n = id_find(t, id);
	if (!n)
		return;
	n->nlookup -= nlookup < n->nlookup ? nlookup : n->nlookup;
	reap(t, n);
}

size_t inodes_len(struct inodes *t)
{
	autolock(&t->lock);
	return t->used;
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

static int node_alloc(const struct node_ops *ops, size_t size,
		      struct node *parent, const char *name, struct node **ret)
{
	size_t len = strlen(name) + 1;
	struct node *n = calloc(1, size + len);

	if (!n)
		return -ENOMEM;
	n->name = (char *)n + size;
	memcpy(n->name, name, len);
	n->ops = ops;
	n->parent = parent;
	n->fs = parent ? parent->fs : NULL;
	*ret = n;
	return 0;
}

int node_new(const struct node_ops *ops, size_t size, struct node *parent,
	     const char *name, enum node_rank rank, struct node **ret)
{
	int r;

	r = node_alloc(ops, size, parent, name, ret);
	if (r < 0)
		return r;
	(*ret)->path_hash = path_hash(parent, name);
	(*ret)->ino = ino_of((*ret)->path_hash, rank);
	return 0;
}

/* A sum and not a hash: numbers of one tree never meet, and whoever copies by
 * ascending inode number reads a layer from front to back. */
uint64_t node_numbered_ino(const struct node *parent, uint64_t number)
{
	return ino_of(parent->path_hash + number, NODE_RANK_PLAIN);
}

int node_new_numbered(const struct node_ops *ops, size_t size,
		      struct node *parent, const char *name, uint64_t number,
		      struct node **ret)
{
	uint64_t hash = parent->path_hash;
	int r;

	r = node_alloc(ops, size, parent, name, ret);
	if (r < 0)
		return r;
	(*ret)->path_hash = hash;
	(*ret)->ino = node_numbered_ino(parent, number);
	return 0;
}
