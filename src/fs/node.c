/* SPDX-License-Identifier: Apache-2.0 */
/* What several kinds of nodes share. */
#include "fs/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs_private.h"
#include "fs/snapshot.h"

struct content *node_content(const struct node *n)
{
	return n->fs->content;
}

const struct options *node_options(const struct node *n)
{
	return n->fs->options;
}

void node_mount_time(const struct node *n, struct stat *st)
{
	st->st_mtim = n->fs->mounted;
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

		if (!sink->add(sink, e->name, e->type,
			       node_child_ino(dir, e->name, e->rank), i + 3))
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
