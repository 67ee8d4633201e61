/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Answers that are asked for anew each time, kept for a mount that is offline:
 * what refers to a manifest, and what the registry said it does not have.  For
 * the repository and the identity that got them.  Failing to keep one is no
 * failure.  Any thread; no network.
 */
#include "content/repo.h"
#include "oci/descriptor.h"

void remember_referrers(struct repo *r, const struct digest *subject,
			const struct descriptor *v, size_t len);
/* -ENOENT: never asked.  To be freed by referrers_free. */
int recall_referrers(struct repo *r, const struct digest *subject,
		     struct descriptor **ret, size_t *ret_len);
void remember_absent(struct repo *r, const struct digest *d);
/* Only offline: else it is asked for. */
bool recall_absent(struct repo *r, const struct digest *d);
