/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * gzip (RFC 1952), of any number of members, inflated by ISA-L.  A point with
 * a window lies inside a member; one without is a member's first byte.
 */
#include "layer/decoder.h"

extern const struct codec_ops gzip_codec;

bool gzip_probe(const uint8_t *bytes, size_t len);
