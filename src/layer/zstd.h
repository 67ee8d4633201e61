/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * zstd (RFC 8878): any number of frames, skippable ones between them, among
 * which are the tables of the seekable format and of zstd:chunked.
 */
#include "layer/decoder.h"

extern const struct codec_ops zstd_codec;

bool zstd_probe(const uint8_t *bytes, size_t len);
