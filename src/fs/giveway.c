/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp into a directory that it has just made insists that nothing is there; so
 * does tar everywhere.  An answer to them is made by what they are about to do
 * (fs/caller.h).
 */
#include "fs/giveway.h"

#include <stdio.h>

#include "fs/caller.h"
#include "fs/dir_blobtree.h"
#include "fs/dir_image.h"
#include "fs/fs_private.h"
#include "fs/image_members.h"
#include "util/clock.h"
#include "util/process.h"

/* How long somebody is known to know of a directory. */
#define TOLD_MS ((uint64_t)3600 * 1000)

/* Whom of which directory: a thread, and a name in it. */
static void told_key(const char *name, const struct wait *w, char out[300])
{
	snprintf(out, 300, "%d %s", (int)w->tid, name);
}

void give_way_tell(struct node *dir, const char *name, const struct wait *w)
{
	char key[300];

	if (node_options(dir)->read_only)
		return;
	told_key(name, w, key);
	hidden_add(&dir->fs->told, dir->id, key, clock_ms() + TOLD_MS);
}

static bool was_told(struct node *dir, const char *name, const struct wait *w)
{
	char key[300];

	told_key(name, w, key);
	return hidden_has(&dir->fs->told, dir->id, key, clock_ms());
}

bool give_way(struct node *dir, const char *name, mode_t type, struct wait *w)
{
	pid_t pid = 0;

	if (node_options(dir)->read_only)
		return false;
	switch (caller_intent(w->tid)) {
	case CALLER_LOOKS:
	case CALLER_OTHER:
		return false;
	case CALLER_MAKES:
		return type != S_IFDIR;
	case CALLER_MAKES_DIRECTORY:
		/* It may also be on the way to the one that is made; but he
		 * who goes there has made it himself, or has seen it. */
		return type == S_IFDIR && !was_told(dir, name, w);
	case CALLER_UNKNOWN:
		break;
	}
	if (type == S_IFDIR)
		return false;
	process_look(w->tid, &pid);
	return pid > 0 && pid == dir_image_maker(dir_image_above(dir));
}

bool give_way_hidden(struct node *dir, const char *name, mode_t type,
		     struct wait *w)
{
	return hidden_has(&dir->fs->hidden, dir->id, name, clock_ms()) ||
	       give_way(dir, name, type, w);
}

bool give_way_alongside(struct node *dir, const char *name, mode_t type,
			struct wait *w)
{
	enum caller_intent intent;

	if (!dir_blobtree_is(dir) &&
	    !(dir_image_is_one(dir) && image_member_find(name)))
		return false;
	intent = caller_intent(w->tid);
	return type == S_IFDIR ? intent == CALLER_MAKES_DIRECTORY &&
					 !was_told(dir, name, w)
			       : intent == CALLER_MAKES;
}
