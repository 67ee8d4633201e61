/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One page of a JSON list of names, as tags/list and _catalog give it
 * (registries.md A.3). */
#include <stdbool.h>

#include "config/dockerauth.h"
#include "registry/registry.h"

#define PAGE_BYTES_MAX ((size_t)32 << 20)
#define PAGE_NAMES 1000 /* what most take at most */
#define PAGE_NAMES_SMALL 100

struct page {
	const char *path;	/* "/v2/x/tags/list" */
	const char *member;	/* "tags" */
	const char *repository; /* "" for the host */
	const char *scope;
	const char *object;
	bool optional; /* 401, 403, 404, 405 are -EOPNOTSUPP: not offered */
	bool whole;    /* paging is for those who ask for it: do not */
	bool absent_is_empty; /* 404 is a list of nothing */
	bool children;	      /* note whether it tells of children (Google) */
};

/*
 * The page at *cursor (NULL: the first) is added to names as it came, strings
 * only; *cursor becomes the next one (to be freed), NULL after the last.
 * Both are left alone on failure.
 */
int page_fetch(struct registry *r, const struct page *l, char **cursor,
	       struct wait *w, struct string_list *names);
