/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a manifest of a repository says about one of its layers beside digest
 * and size: where its table of contents is, what an artifact's file is called.
 * `_layers/DIGEST` is reached without the manifest, so it is remembered, for
 * that repository only.  Any thread.
 */
#include "content/repo.h"
#include "layer/toc.h"
#include "oci/manifest.h"

struct layernote {
	struct toc_claim claim;
	char *title; /* or NULL */
};

void layernote_done(struct layernote *n);
/* From a verified manifest's descriptor. */
int layernote_read(const struct descriptor *d, struct layernote *ret);
/* Remembers what the manifest says of its layers. */
void layernote_save(struct repo *r, const struct manifest *m);
/* Nothing remembered is no error: *ret says nothing then. */
int layernote_load(struct repo *r, const struct digest *d,
		   struct layernote *ret);
