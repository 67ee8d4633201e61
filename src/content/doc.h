/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Manifests and indexes by digest: from memory, else the store, else the
 * registry; verified.  Served to a repository only if the registry gave it
 * there.  Counted and immutable.
 */
#include "content/repo.h"
#include "oci/manifest.h"

struct doc;

int doc_fetch(struct repo *r, const struct digest *d, struct wait *w,
	      struct doc **ret);
/* Of what a descriptor points at: also its size and type must be right. */
int doc_fetch_descriptor(struct repo *r, const struct descriptor *d,
			 struct wait *w, struct doc **ret);
/* A manifest that the registry has just given for this repository: kept. */
int doc_adopt(struct repo *r, struct manifest *m, struct doc **ret);
struct doc *doc_ref(struct doc *d);
void doc_unref(struct doc *d);
const struct manifest *doc_manifest(const struct doc *d);
