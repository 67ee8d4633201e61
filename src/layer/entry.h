/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One entry of a layer, as its archive or its table of contents has it: names
 * are raw bytes, nothing is normalised or trusted yet.  Everything is lent for
 * the call only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYER_PATH_MAX 4096
#define LAYER_XATTR_MAX 65536 /* bytes of one value, and of all of an entry */
#define LAYER_PIECES_MAX ((size_t)1 << 20)

enum layer_type {
	LAYER_FILE,
	LAYER_DIR,
	LAYER_SYMLINK,
	LAYER_HARDLINK,
	LAYER_CHAR,
	LAYER_BLOCK,
	LAYER_FIFO
};

struct layer_xattr {
	const char *name; /* NUL-terminated */
	const void *value;
	size_t len;
};

/*
 * A piece of a file's content; what no piece covers are zeros.  Ascending, not
 * overlapping, within the file (the reader checked).
 */
struct layer_piece {
	uint64_t off, bytes; /* place in the file */
	/* In an archive: where in the decoded stream; src_end is 0.  In a table
	 * of contents: the compressed bytes [src_off, src_end) of the blob, of
	 * whose decoded bytes inner_off are skipped. */
	uint64_t src_off, src_end, inner_off;
	bool has_digest;
	uint8_t digest[32]; /* SHA-256 of the decoded piece */
};

struct layer_entry {
	enum layer_type type;
	const char *path; /* NUL-terminated; path_len may tell of more */
	size_t path_len;
	const char *link; /* symlink text, hard link target; else NULL */
	size_t link_len;
	uint32_t mode; /* 07777 at most */
	uint32_t uid, gid;
	uint64_t size_bytes; /* of a file; 0 otherwise */
	int64_t mtime_s;
	uint32_t mtime_ns; /* 0 to 999999999 */
	uint32_t major, minor;
	/* An ordinary file of an archive: its content in the decoded stream,
	 * size_bytes long.  Not used where there are pieces. */
	uint64_t data_off;
	bool in_pieces; /* sparse, or from a table of contents */
	const struct layer_piece *pieces;
	size_t pieces_len;
	const struct layer_xattr *xattrs;
	size_t xattrs_len;
};

/* Non-zero stops the reader, which returns it. */
typedef int (*layer_entry_fn)(void *arg, const struct layer_entry *e);
