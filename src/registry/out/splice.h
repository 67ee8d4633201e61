/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Changing one list of a JSON document and nothing else: whatever others wrote
 * around it, members nobody knows among them, stays as it is, byte for byte.
 * Only for documents that json_parse has accepted.  Pure.
 */
#include <stddef.h>

#include "util/str.h"

#define SPLICE_ITEMS_MAX 4096

/* The elements of an array that is a member of the document's object. */
struct splice {
	const char *doc; /* not owned */
	size_t len;
	size_t open, close;	       /* where its '[' and its ']' are */
	size_t from[SPLICE_ITEMS_MAX]; /* each element: [from, to) */
	size_t to[SPLICE_ITEMS_MAX];
	size_t items;
};

/* -EBADMSG: no such array, or its name is written with escapes; -EFBIG. */
int splice_find(struct splice *s, const char *doc, size_t len,
		const char *member);
/* The document with `item` after the last element. */
int splice_append(const struct splice *s, const char *item, struct str *out);
/* The document without element i. */
int splice_remove(const struct splice *s, size_t i, struct str *out);
