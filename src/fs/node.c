/* SPDX-License-Identifier: Apache-2.0 */
/* What several kinds of nodes share. */
#include "fs/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs_private.h"
#include "fs/snapshot.h"

#define FILE_BLOCK (1 << 20) /* cp, cat read and write so much at once */
/* opendir(3) takes it for how much to ask for, and the kernel makes that much
 * room for each answer, however short. */
#define DIR_BLOCK 4096

struct content *node_content(const struct node *n)
{
	return n->fs->content;
}

struct outbox *node_outbox(const struct node *n)
{
	return n->fs->outbox;
}

const struct options *node_options(const struct node *n)
{
	return n->fs->options;
}

int node_way(const struct node *n, struct str *out)
{
	int r;

	if (!n->parent)
		return 0;
	r = node_way(n->parent, out);
	if (r == 0)
		r = str_addc(out, '/');
	return r < 0 ? r : str_add(out, n->name);
}

bool node_enforced(const struct node *n)
{
	return n->fs->enforced;
}

void node_discard(struct node *n)
{
	if (n->ops->done)
		n->ops->done(n);
	free(n);
}

void node_attr_init(const struct node *n, struct node_attr *a)
{
	blksize_t block = S_ISDIR(n->ops->type) ? DIR_BLOCK : FILE_BLOCK;

	*a = (struct node_attr){.st = {.st_ino = n->ino,
				       .st_nlink = 1,
				       .st_uid = n->fs->uid,
				       .st_gid = n->fs->gid,
				       .st_mode = n->ops->type,
				       .st_blksize = block,
				       .st_mtim.tv_nsec = UTIME_OMIT,
				       .st_ctim.tv_nsec = UTIME_OMIT},
				.ttl_s = n->ops->uncached ? 0
							  : NODE_TTL_FOREVER};
}

void node_mount_time(const struct node *n, struct node_attr *a)
{
	a->st.st_mtim = n->fs->mounted;
}

void name_spell(const struct options *o, char *name)
{
	if (!o->colon_plus)
		return;
	for (; *name; name++)
		if (*name == ':')
			*name = '+';
}

int xattr_name(struct str *names, const char *name)
{
	return str_addn(names, name, strlen(name) + 1);
}

bool dir_add_dots(struct node *dir, uint64_t *off, struct dir_sink *sink)
{
	uint64_t up = dir->parent ? dir->parent->ino : dir->ino;

	if (*off == 0) {
		if (!sink->add(sink, ".", S_IFDIR, dir->ino, 1))
			return false;
		*off = 1;
	}
	if (*off == 1) {
		if (!sink->add(sink, "..", S_IFDIR, up, 2))
			return false;
		*off = 2;
	}
	return true;
}

int snapshot_add(struct snapshot *s, const char *name, mode_t type,
		 enum node_rank rank)
{
	struct snapshot_entry e = {.type = type, .rank = rank};
	int r;

	e.name = strdup(name);
	if (!e.name)
		return -ENOMEM;
	r = vec_push(&s->entries, e);
	if (r < 0)
		free(e.name);
	return r;
}

int snapshot_readdir(struct node *dir, void *handle, uint64_t off,
		     struct wait *w, struct dir_sink *sink)
{
	const struct snapshot *s = handle;

	(void)w;
	if (!dir_add_dots(dir, &off, sink))
		return 0;
	for (uint64_t i = off - 2; i < s->entries.len; i++) {
		const struct snapshot_entry *e = &s->entries.v[i];

		sink->costly = e->costly;
		if (!sink->add(sink, e->name, e->type,
			       e->ino ? e->ino
				      : node_child_ino(dir, e->name, e->rank),
			       i + 3))
			return 0;
	}
	return 0;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->entries.len; i++)
		free(s->entries.v[i].name);
	vec_done(&s->entries);
	free(s);
}

void snapshot_closedir(struct node *dir, void *handle)
{
	(void)dir;
	snapshot_free(handle);
}
