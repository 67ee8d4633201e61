/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `.registryfs/cache` and `cache.json`: what the cache holds; and where its
 * owner may demand that something be forgotten (fs/control.h). */
#include <stdbool.h>

#include "fs/node.h"

#define FILE_CACHE_NAME "cache"
#define FILE_CACHE_JSON_NAME "cache.json"

bool file_cache_is(const char *name);
int file_cache_new(struct node *parent, const char *name, struct node **ret);
