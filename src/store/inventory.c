/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the grants, which are sorted by repository.  What is open is
 * counted as it is now, for its row is as old as the last saving.
 */
#include "store/inventory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/rowutil.h"
#include "store/state.h"
#include "store/tree.h"
#include "util/auto.h"
#include "util/fd.h"
#include "util/vec.h"

#define DATABASE_PREFIX "meta.db"
#define SET_ASIDE_PREFIX "meta.db.bad-"

/* What a digest has, beside what its row says. */
struct weight {
	bool open, open_verified;
	uint64_t open_bytes;
	uint64_t trees, tree_bytes;
};

struct count {
	struct map *weights; /* by digest */
	VEC(struct inventory_line) lines;
	struct digest last; /* of the line */
	bool has_last;
};

/* --- weights --- */

static struct weight *weight_of(struct count *k, const struct digest *d)
{
	struct weight *w = map_findn(k->weights, d, sizeof(*d));

	if (w)
		return w;
	w = calloc(1, sizeof(*w));
	if (w && map_putn(k->weights, d, sizeof(*d), w, NULL) < 0) {
		free(w);
		return NULL;
	}
	return w;
}

static int weigh_open(struct store *s, struct count *k)
{
	autolock(&s->lock);

	list_for(node, &s->open) {
		struct chunks *c = container_of(node, struct chunks, node);
		struct weight *w = weight_of(k, &c->digest);

		if (!w)
			return -ENOMEM;
		w->open = true;
		w->open_bytes = c->file_bytes;
		w->open_verified = chunkmap_verified(&c->map) && !c->failed;
	}
	return 0;
}

static int weigh_tree(void *arg, const char *key, uint64_t bytes, bool open)
{
	struct weight *w;
	struct digest d;

	(void)open;
	if (tree_key_digest(key, &d) < 0)
		return 0;
	w = weight_of(arg, &d);
	if (!w)
		return -ENOMEM;
	w->trees++;
	w->tree_bytes += bytes;
	return 0;
}

/* --- lines --- */

static int line_at(struct count *k, const char *host, const char *repository,
		   struct inventory_line **ret)
{
	struct inventory_line *l =
		k->lines.len > 0 ? &k->lines.v[k->lines.len - 1] : NULL;
	struct inventory_line new = {0};

	if (!l || strcmp(l->host, host) != 0 ||
	    strcmp(l->repository, repository) != 0) {
		new.host = strdup(host);
		new.repository = strdup(repository);
		if (!new.host || !new.repository ||
		    vec_push(&k->lines, new) < 0) {
			free(new.host);
			free(new.repository);
			return -ENOMEM;
		}
		l = &k->lines.v[k->lines.len - 1];
		k->has_last = false;
	}
	*ret = l;
	return 0;
}

static int count_row(struct count *k, const struct query *q)
{
	const char *host, *repository;
	struct inventory_line *l;
	const struct weight *w;
	struct digest d;
	int64_t bytes = 0;
	int r;

	if (query_get_text(q, 0, ROW_NAME_MAX, &host) < 0 ||
	    query_get_text(q, 1, ROW_NAME_MAX, &repository) < 0 ||
	    row_get_digest(q, 2, &d) < 0)
		return 0;
	r = line_at(k, host, repository, &l);
	if (r < 0)
		return r;
	/* Granted to several identities, or as two kinds. */
	if (k->has_last && digest_equal(&k->last, &d))
		return 0;
	k->last = d;
	k->has_last = true;
	(void)query_get_int(q, 3, 0, ROW_SIZE_MAX, &bytes);
	w = map_findn(k->weights, &d, sizeof(d));
	if (w && w->open)
		bytes = (int64_t)w->open_bytes;
	l->blobs += bytes > 0;
	l->blob_bytes += (uint64_t)bytes;
	l->trees += w ? w->trees : 0;
	l->tree_bytes += w ? w->tree_bytes : 0;
	return 0;
}

static int count_rows(struct store *s, struct count *k)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT host, repository, granted.digest, bytes "
		       "FROM granted LEFT JOIN blob USING (digest) "
		       "ORDER BY host, repository, granted.digest");
	int r;

	while ((r = query_next(&q)) > 0) {
		r = count_row(k, &q);
		if (r < 0)
			return r;
	}
	return row_result(r);
}

/* Instead of what the rows alone say. */
static int count_blobs(struct store *s, const struct count *k,
		       struct store_stats *st)
{
	autodb(s->db);
	autoquery q = query_start(
		s->db, "SELECT digest, bytes>0, verified<>0 FROM blob");
	const struct weight *w;
	int64_t data, verified;
	struct digest d;
	size_t pos = 0;
	int r;

	st->blobs = st->verified_blobs = 0;
	while ((w = map_next(k->weights, &pos, NULL))) {
		st->blobs += w->open_bytes > 0;
		st->verified_blobs += w->open_verified;
	}
	while ((r = query_next(&q)) > 0) {
		if (row_get_digest(&q, 0, &d) < 0 ||
		    query_get_int(&q, 1, 0, 1, &data) < 0 ||
		    query_get_int(&q, 2, 0, 1, &verified) < 0)
			continue;
		w = map_findn(k->weights, &d, sizeof(d));
		if (w && w->open)
			continue;
		st->blobs += (uint64_t)data;
		st->verified_blobs += (uint64_t)verified;
	}
	return row_result(r);
}

/* --- files --- */

static DIR *open_top(struct store *s)
{
	int fd = s->dirfd < 0
			 ? -1
			 : fd_openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

uint64_t inventory_database_bytes(struct store *s)
{
	DIR *dir = open_top(s);
	const struct dirent *e;
	uint64_t bytes = 0;
	struct stat st;

	while (dir && (e = readdir(dir)))
		if (str_prefix(e->d_name, DATABASE_PREFIX) &&
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			    0)
			bytes += (uint64_t)st.st_size;
	if (dir)
		closedir(dir);
	return bytes;
}

void inventory_remove_set_aside(struct store *s)
{
	DIR *dir = open_top(s);
	const struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (str_prefix(e->d_name, SET_ASIDE_PREFIX))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
}

/* --- all of it --- */

int inventory_take(struct store *s, struct inventory *ret)
{
	struct inventory v = {.min_free_bytes = s->min_free_bytes,
			      .room_bytes = store_room(s)};
	struct count k = {0};
	int r;

	r = map_new(&k.weights);
	if (r == 0)
		r = weigh_open(s, &k);
	if (r == 0)
		r = treefile_each(s, weigh_tree, &k);
	if (r == 0)
		r = count_rows(s, &k);
	if (r == 0)
		r = store_stats(s, &v.stats);
	if (r == 0)
		r = count_blobs(s, &k, &v.stats);
	map_free(k.weights, free);
	v.lines = k.lines.v;
	v.len = k.lines.len;
	if (r == 0 && s->dir) {
		v.dir = strdup(s->dir);
		r = v.dir ? 0 : -ENOMEM;
	}
	if (r < 0) {
		inventory_done(&v);
		return r;
	}
	v.database_bytes = inventory_database_bytes(s);
	stage_stats(s, &v.spool);
	*ret = v;
	return 0;
}

void inventory_done(struct inventory *v)
{
	for (size_t i = 0; i < v->len; i++) {
		free(v->lines[i].host);
		free(v->lines[i].repository);
	}
	free(v->lines);
	free(v->dir);
	memset(v, 0, sizeof(*v));
}
