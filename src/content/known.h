/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a change that went through this mount taught, so that the mount shows
 * it at once and asks for nothing that it knows.  No network; failures of the
 * store were logged, and cost a request later.
 */
#include "content/repo.h"
#include "oci/digest.h"
#include "oci/manifest.h"

/* The registry took or confirmed this blob; it may be read here. */
void learn_blob(struct repo *r, const struct digest *d, uint64_t size_bytes);
/* The same, but its size is no more than what some document says. */
void learn_blob_claimed(struct repo *r, const struct digest *d,
			uint64_t size_bytes);
/* A manifest was put.  Copies it. */
void learn_manifest(struct repo *r, const struct manifest *m);
/* The tag now means this manifest. */
void learn_tag(struct repo *r, const char *tag, const struct manifest *m);
/* The tag is gone. */
void learn_no_tag(struct repo *r, const char *tag);
/* The blob or manifest is gone from this repository. */
void learn_gone(struct repo *r, const struct digest *d);
/* What refers to this manifest has changed. */
void learn_referrers(struct repo *r, const struct digest *subject);

/* Has the registry granted this blob in this repository?  Never asks. */
bool known_blob(struct repo *r, const struct digest *d,
		uint64_t *ret_size_bytes);
/* Likewise a manifest. */
bool known_manifest(struct repo *r, const struct digest *d);
/* Another repository of the same registry that is known to hold it and may be
 * named in a mount; -ENOENT.  To be freed. */
int known_holder(struct repo *r, const struct digest *d, char **ret);
