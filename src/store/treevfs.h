/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How SQLite reads and writes a tree's file: through a descriptor that was
 * opened beneath the cache directory (no path, so no link and no rename can
 * mislead it), without locks, with a sum in every page.  A page whose sum is
 * wrong is SQLITE_IOERR_DATA.  The file system keeps `min_free` bytes.
 */
#include <stdbool.h>
#include <stdint.h>

struct sqlite3;

#define TREE_PAGE_BYTES 4096
#define TREE_SUM_BYTES 8 /* at the end of a page */

/* fd stays the caller's, who closes it last.  A sealed one is opened immutable.
 * The SQLite result code; *ret is to be closed in any case. */
int treevfs_open(int fd, bool sealed, uint64_t min_free, struct sqlite3 **ret);
/* Of the page at `off` of the file. */
uint64_t treevfs_sum(const uint8_t *page, uint64_t off);
