/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reads a tar archive as it streams by (POSIX pax, ustar, GNU, v7): push bytes,
 * entries come out.  Content is not kept, only its place.  Memory is bounded by
 * the largest header.  Source: POSIX.1 pax, the GNU tar manual, star(5).
 *
 * -EBADMSG: damaged from here on (tar_error says what, tar_off where); entries
 * seen before stay right.  Not thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layer/entry.h"

#define TAR_BLOCK 512
/* Of a pax header, a long name, a sparse map. */
#define TAR_HEADER_MAX ((size_t)1 << 20)

struct tar;

int tar_new(layer_entry_fn fn, void *arg, struct tar **ret);
void tar_free(struct tar *t); /* NULL is fine */
/* The next bytes.  What follows the end of the archive is ignored. */
int tar_feed(struct tar *t, const void *bytes, size_t len);
/* There are no more.  -EBADMSG: it ended inside an entry. */
int tar_end(struct tar *t);
/* Bytes taken so far. */
uint64_t tar_off(const struct tar *t);
const char *tar_error(const struct tar *t); /* "" if there was none */
/* Does an archive begin like this?  A header with the right sum, or zeros. */
bool tar_probe(const uint8_t block[TAR_BLOCK]);
