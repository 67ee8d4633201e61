/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which step of an image's making brought which layer, as a table for people:
 * a line of headings, then one line each. */
#include "content/image.h"
#include "util/str.h"

#define HISTORY_BYTES_MAX ((size_t)1 << 20)

/* `conf` NULL: there is no configuration to read; then, and where its steps do
 * not fit the layers, the layers are listed and a line says so.  What is longer
 * than HISTORY_BYTES_MAX is cut, and says so. */
int history_format(const struct manifest *m, const struct imageconf *conf,
		   struct str *out);
/* The same of the chosen platform's; -ENOENT: there is none. */
int history_fetch(struct image *i, struct wait *w, struct str *out);
