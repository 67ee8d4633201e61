/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting because somebody said so, not for want of room.  What a blob's
 * hash was stays: what is fetched again is checked as it comes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/inventory.h"
#include "store/state.h"
#include "store/tree.h"
#include "util/auto.h"
#include "util/str.h"
#include "util/vec.h"

/* One that is open, with a user more; NULL. */
static struct chunks *hold(struct store *s, const struct digest *d)
{
	struct chunks *c;

	autolock(&s->lock);
	c = map_findn(s->table, d, sizeof(*d));
	if (c)
		chunk_ref(c);
	return c;
}

/* Likewise, opened if need be. */
static struct chunks *hold_or_open(struct store *s, const struct digest *d)
{
	struct chunks *c = hold(s, d);
	struct blob_row row;

	if (c)
		return c;
	if (blob_get(s, d, &row) < 0 ||
	    chunks_open(s, d, row.size_bytes, &c) < 0)
		return NULL;
	return c;
}

uint64_t store_blob_bytes(struct store *s, const struct digest *d)
{
	struct blob_row row = {0};

	{
		autolock(&s->lock);
		const struct chunks *c = map_findn(s->table, d, sizeof(*d));

		if (c)
			return c->file_bytes;
	}
	return blob_get(s, d, &row) == 0 ? row.bytes : 0;
}

uint64_t store_forget_blob(struct store *s, const struct digest *d)
{
	struct chunks *c = hold_or_open(s, d);
	uint64_t bytes;

	if (!c)
		return 0;
	pthread_mutex_lock(&s->lock);
	bytes = c->file_bytes;
	pthread_mutex_unlock(&s->lock);
	(void)chunks_drop(c);
	chunks_close(c);
	return bytes;
}

struct family {
	VEC(struct digest) members;
};

static int add_member(void *arg, const struct digest *d)
{
	struct family *f = arg;

	return vec_push(&f->members, *d);
}

/* What is open may have no row yet. */
static int add_open_members(struct store *s, struct family *f,
			    const struct digest *d, size_t n)
{
	int r = 0;

	autolock(&s->lock);
	list_for(node, &s->open) {
		struct chunks *c = container_of(node, struct chunks, node);

		if (r == 0 && c->digest.alg == d->alg &&
		    memcmp(c->digest.raw, d->raw, n) == 0)
			r = add_member(f, &c->digest);
	}
	return r;
}

uint64_t store_forget_family(struct store *s, const struct digest *d, size_t n)
{
	struct family f = {0};
	uint64_t bytes = 0;

	if (blob_each_like(s, d, n, add_member, &f) == 0)
		(void)add_open_members(s, &f, d, n);
	for (size_t i = 0; i < f.members.len; i++)
		bytes += store_forget_blob(s, &f.members.v[i]);
	vec_done(&f.members);
	return bytes;
}

/* --- trees --- */

int tree_key_digest(const char *key, struct digest *ret)
{
	const char *alg = strchr(key, '-'), *hex;
	char name[8], text[129];

	hex = alg ? strchr(++alg, '-') : NULL;
	if (!hex || (size_t)(hex - alg) >= sizeof(name))
		return -EINVAL;
	snprintf(name, sizeof(name), "%.*s", (int)(hex - alg), alg);
	hex++;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(hex, "-"), hex);
	return digest_parse_parts(name, text, ret);
}

struct tree_sweep {
	struct store *s;
	store_which_fn which; /* NULL: all that nobody has open */
	void *arg;
	uint64_t trees, bytes;
};

static int sweep_tree(void *arg, const char *key, uint64_t bytes, bool open)
{
	struct tree_sweep *w = arg;
	struct digest d;

	if (w->which ? tree_key_digest(key, &d) < 0 || !w->which(w->arg, &d)
		     : open)
		return 0;
	tree_forget(w->s, key);
	w->trees++;
	w->bytes += bytes;
	return 0;
}

int store_forget_trees(struct store *s, store_which_fn which, void *arg,
		       uint64_t *trees, uint64_t *bytes)
{
	struct tree_sweep w = {.s = s, .which = which, .arg = arg};
	int r = treefile_each(s, sweep_tree, &w);

	*trees += w.trees;
	*bytes += w.bytes;
	return r;
}

/* --- everything --- */

int store_prune(struct store *s, uint64_t *ret_bytes)
{
	struct tree_sweep w = {.s = s};
	uint64_t before, after, freed;
	int r;

	before = inventory_database_bytes(s);
	freed = evict_unused(s);
	r = treefile_each(s, sweep_tree, &w);
	if (r == 0)
		r = rows_clear(s);
	inventory_remove_set_aside(s);
	after = inventory_database_bytes(s);
	if (before > after)
		freed += before - after;
	*ret_bytes = freed + w.bytes;
	return r;
}
