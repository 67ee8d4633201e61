/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * eStargz, and the stargz that it came from: where its table of contents is,
 * and in what it is wrapped.  Source: stargz-snapshotter docs/estargz.md.
 */
#include "layer/tocformat.h"

#define ESTARGZ_DIGEST_KEY "containerd.io/snapshot/stargz/toc.digest"

extern const struct toc_format estargz_format;
