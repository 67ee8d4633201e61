/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a vendor's refusal means where its words do not say it. */
#include "registry/registry.h"

struct outcome;
/* A sentence to add, or NULL.  `object` is "team/app/_tags/1.4". */
const char *hint_find(struct registry *r, const char *object,
		      const struct outcome *out);
