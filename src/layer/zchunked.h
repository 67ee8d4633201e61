/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * zstd:chunked, as containers (podman, buildah, skopeo) and as
 * stargz-snapshotter write it: where its table of contents is.
 * Source: containers/storage pkg/chunked/internal/minimal/compression.go,
 * stargz-snapshotter estargz/zstdchunked.
 */
#include "layer/tocformat.h"

#define ZCHUNKED_CHECKSUM_KEY                                                  \
	"io.github.containers.zstd-chunked.manifest-checksum"
#define ZCHUNKED_POSITION_KEY                                                  \
	"io.github.containers.zstd-chunked.manifest-position"
/* Of stargz-snapshotter, and of the first versions of containers. */
#define ZCHUNKED_OLD_CHECKSUM_KEY "io.containers.zstd-chunked.manifest-checksum"
#define ZCHUNKED_OLD_POSITION_KEY "io.containers.zstd-chunked.manifest-position"

extern const struct toc_format zchunked_format;
