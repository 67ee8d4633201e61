/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Puts a layer's entries, in their order, into a tree, as unpacking the layer
 * into an empty directory would (image-spec layer.md; whiteouts stay files):
 * names are normalised (`./a`, `/a`, `a//b`, `a/`), missing parents implied
 * (0755 root), of duplicates the last wins (a directory over a directory
 * replaces its attributes only; anything else the old tree), and a parent that
 * is no directory becomes one.  An entry with a `..`, a NUL in its name or a
 * path over LAYER_PATH_MAX is left out and counted; a component over 255 bytes
 * is shown under a shorter name with its hash (TREE_RAW_NAME).  A hard link
 * joins its target if that is there and no directory, else it dangles.  One
 * thread at a time.
 */
#include "layer/entry.h"
#include "store/tree.h"

struct treebuild;

struct treebuild_counts {
	uint64_t entries;  /* taken or left out */
	uint64_t left_out; /* for their names */
	uint64_t escaped;  /* names that had to be shortened */
	uint64_t dangling; /* hard links without a target so far */
};

int treebuild_new(struct tree *t, uint64_t entries_max, struct treebuild **ret);
void treebuild_free(struct treebuild *b); /* NULL is fine */
/* -EFBIG: more than entries_max, directories that they imply included. */
int treebuild_add(struct treebuild *b, const struct layer_entry *e);
void treebuild_counts(const struct treebuild *b, struct treebuild_counts *ret);
