/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a pax extended header says: those of its records that mean something to
 * an entry here.  One such object holds what one `x` header says, another what
 * all `g` headers so far said.  Source: POSIX.1-2017 pax, star(5), the GNU tar
 * manual (sparse formats), libarchive's tar(5).  Not thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layer/entry.h"
#include "layer/sparse.h"
#include "util/str.h"
#include "util/vec.h"

#define PAX_XATTRS_MAX ((size_t)128) /* of an entry */
#define PAX_XATTR_NAME_MAX 255	     /* Linux has no longer ones */

enum pax_key {
	PAX_PATH = 1 << 0,
	PAX_LINK = 1 << 1,
	PAX_SIZE = 1 << 2,
	PAX_UID = 1 << 3,
	PAX_GID = 1 << 4,
	PAX_MTIME = 1 << 5,
	PAX_MAJOR = 1 << 6,
	PAX_MINOR = 1 << 7,
	PAX_SPARSE_NAME = 1 << 8,
	PAX_SPARSE_SIZE = 1 << 9,
	PAX_SPARSE_REAL_SIZE = 1 << 10,
	PAX_SPARSE_BLOCKS = 1 << 11,
	PAX_SPARSE_MAP = 1 << 12,
	PAX_SPARSE_MAJOR = 1 << 13,
	PAX_SPARSE_MINOR = 1 << 14
};

enum pax_sparse {
	PAX_SPARSE_NOT,
	PAX_SPARSE_HERE,   /* 0.0, 0.1: the header has the map */
	PAX_SPARSE_IN_DATA /* 1.0: the data begin with it */
};

struct pax_xattr {
	size_t off, name_len, len; /* in `bytes`: name, NUL, value */
	bool schily;
};

struct pax {
	unsigned has;	/* enum pax_key: with a value, ... */
	unsigned empty; /* ... or with the empty one, which takes back others */
	struct str path, link;
	uint64_t size_bytes;
	uint32_t uid, gid, major, minor;
	int64_t mtime_s;
	uint32_t mtime_ns;
	VEC(struct pax_xattr) xattrs;
	struct str xattr_bytes;
	/* Sparse files, unless this is of `g` headers (map is NULL). */
	struct sparse *map;
	struct str sparse_name;
	uint64_t sparse_size, sparse_real_size, sparse_blocks;
	uint64_t sparse_major, sparse_minor;
};

/* `map` (may be NULL) outlives it, and is cleared with it. */
void pax_init(struct pax *p, struct sparse *map);
void pax_done(struct pax *p);
void pax_clear(struct pax *p); /* keeps the memory */
/* Adds what the header says to what was said.  -EBADMSG, and in *ret_why what
 * is wrong. */
int pax_parse(struct pax *p, const char *header, size_t len,
	      const char **ret_why);
const char *pax_xattr_name(const struct pax *p, size_t i);
const void *pax_xattr_value(const struct pax *p, size_t i);
/* NULL: it does not say that. */
const struct pax_xattr *pax_xattr_find(const struct pax *p, const char *name);
/* How the map of a sparse file comes, if it is one. */
enum pax_sparse pax_sparse(const struct pax *p);
