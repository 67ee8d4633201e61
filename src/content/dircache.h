/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which inode the directory of this name in that directory is: what was looked
 * up in a tree, so that it need not be again.  Not thread safe.
 */
#include <stddef.h>
#include <stdint.h>

struct dircache;

int dircache_new(struct dircache **ret);
void dircache_free(struct dircache *c); /* NULL is fine */
size_t dircache_len(const struct dircache *c);
/* 0: not known. */
uint64_t dircache_find(const struct dircache *c, uint64_t parent,
		       const char *name);
int dircache_put(struct dircache *c, uint64_t parent, const char *name,
		 uint64_t ino);
int dircache_clear(struct dircache *c);
