/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A path of an archive as names in a tree: `./a`, `/a`, `a//b/` are a and a, b;
 * the empty path and `.` are the root.  Names over 255 bytes, which no
 * directory can show, get a shorter one: how they begin, `~`, and 16 hex digits
 * of their SHA-256.  Pure.
 */
#include <stddef.h>

#include "layer/entry.h"
#include "store/tree.h"
#include "util/str.h"

#define TREEPATH_PARTS_MAX (LAYER_PATH_MAX / 2 + 1)
#define TREEPATH_LONG_MAX (LAYER_PATH_MAX / (TREE_NAME_MAX + 1))

struct treepath_part {
	const char *name; /* as shown */
	const char *raw;  /* NULL: the same */
	size_t raw_len;
};

struct treepath {
	size_t len; /* 0: the root */
	struct treepath_part parts[TREEPATH_PARTS_MAX];
	char text[LAYER_PATH_MAX + 1];
	char shown[TREEPATH_LONG_MAX][TREE_NAME_MAX + 1];
};

/* -EINVAL: a `..`, a NUL, or too long. */
int treepath_parse(const char *path, size_t len, struct treepath *ret);
bool treepath_equal(const struct treepath *a, const struct treepath *b);
/* Adds it as shown; the root is `.`. */
int treepath_format(const struct treepath *p, struct str *out);
/* Of one name without NUL; false: it is shown as it is. */
bool treepath_show(const char *raw, size_t len, char ret[TREE_NAME_MAX + 1]);
