/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* put_manifest of what others may be changing, too. */
#include "registry/out/put.h"

/* -ESTALE, not recorded: somebody else was there first (If-Match did not hold,
 * or something else is there already); if_match may be NULL. */
int put_shared(struct registry *r, const struct put_manifest *p,
	       const char *if_match, struct wait *w);
/* 120 s at the default timeout: the patience with what is sent; what is waited
 * for below is a part of it. */
uint64_t put_patience_ms(const struct registry *r);
