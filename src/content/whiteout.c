/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whiteouts of one directory; see the header.  They are neighbours in a list,
 * and few directories have any: one name is asked for, then pages.
 */
#include "content/whiteout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "content/treepath.h"
#include "util/str.h"

#define OPAQUE ".wh..wh..opq"
/* Sorts before all names that whiteouts have. */
#define BEFORE ".wh-"
#define PAGE_NAMES 256

struct whiteouts {
	struct tree *layer, *below;
	uint64_t from, to;
};

bool whiteout_is(const char *name)
{
	return str_prefix(name, WHITEOUT_PREFIX);
}

static int get_raw_name(struct tree *t, uint64_t ino, struct str *out)
{
	struct tree_inode i;
	int r = tree_get(t, ino, &i);

	if (r == 0 && (i.flags & TREE_RAW_NAME))
		r = tree_get_raw_name(t, ino, out);
	return r == -ENODATA ? 0 : r;
}

/*
 * What it hides, as that is shown: the whiteout's own name may have been too
 * long where that one is not, and is not told by its shorter form.  (The raw
 * name may also be that of another name of the same inode.)
 */
static int hidden_name(const struct whiteouts *w, const struct tree_name *n,
		       char ret[TREE_NAME_MAX + 1])
{
	const size_t prefix = strlen(WHITEOUT_PREFIX);
	char own[TREE_NAME_MAX + 1];
	autostr raw = {0};
	int r = get_raw_name(w->layer, n->ino, &raw);

	if (r < 0)
		return r;
	if (raw.len > prefix && treepath_show(raw.buf, raw.len, own) &&
	    strcmp(own, n->name) == 0)
		treepath_show(raw.buf + prefix, raw.len - prefix, ret);
	else
		treepath_show(n->name + prefix, strlen(n->name) - prefix, ret);
	return 0;
}

static int hide(const struct whiteouts *w, const struct tree_name *n)
{
	char hidden[TREE_NAME_MAX + 1];
	struct tree_inode i;
	int r = tree_get(w->layer, n->ino, &i);

	/* Part of a path only: for others no whiteout, so for us neither. */
	if (r < 0 || (i.flags & TREE_IMPLIED))
		return r;
	if (strcmp(n->name, OPAQUE) == 0)
		return tree_clear(w->below, w->to);
	r = hidden_name(w, n, hidden);
	/* No tree has what `.wh.`, `.wh..` or `.wh...` name; and no merged one
	 * a name with the prefix, so aufs's own hide nothing. */
	if (r == 0)
		r = tree_remove(w->below, w->to, hidden);
	return r == -ENOENT ? 0 : r;
}

/* 1: whoever comes after these names is no whiteout. */
static int hide_page(const struct whiteouts *w, const struct tree_name *names,
		     size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int r;

		if (strcmp(names[i].name, WHITEOUT_PREFIX) < 0)
			continue;
		if (!whiteout_is(names[i].name))
			return 1;
		r = hide(w, &names[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int whiteout_apply(struct tree *layer, uint64_t from, struct tree *below,
		   uint64_t to, struct wait *w)
{
	const struct whiteouts here = {layer, below, from, to};
	char after[TREE_NAME_MAX + 1] = BEFORE;
	size_t max = 1, len = 1;
	int r = 0;

	while (r == 0 && len == max) {
		struct tree_name *names = NULL;

		r = tree_list(layer, from, after, max, &names, &len);
		if (r < 0)
			return r;
		r = hide_page(&here, names, len);
		if (len > 0)
			snprintf(after, sizeof(after), "%s",
				 names[len - 1].name);
		tree_names_free(names, len);
		if (r == 0 && len == max) {
			len = max = PAGE_NAMES;
			r = wait_check(w);
		}
	}
	return r < 0 ? r : 0;
}
