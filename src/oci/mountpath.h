/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A path beneath a mount taken apart, as text: which repository, and what of
 * it.  Whether it is there is another matter, and so are symbolic links.  Pure.
 */
#include "oci/reference.h"

enum mountpath_kind {
	MOUNTPATH_ABOUT, /* .registryfs, and what is in it */
	MOUNTPATH_WAY,	 /* the top, a host, a repository or the way to one */
	MOUNTPATH_TAGS,	 /* `_tags` itself, and so on */
	MOUNTPATH_MANIFESTS,
	MOUNTPATH_BLOBS,
	MOUNTPATH_LAYERS,
	MOUNTPATH_ROOTFSES,
	MOUNTPATH_IMAGE, /* by tag or digest */
	MOUNTPATH_BLOB,	 /* also as a file of an image's blobs/ */
	MOUNTPATH_LAYER,
	MOUNTPATH_ROOTFS,
};

struct mountpath {
	enum mountpath_kind kind;
	char host[REFERENCE_HOST_MAX + 1];	 /* "": above all hosts */
	char repository[REFERENCE_NAME_MAX + 1]; /* "": above all of them */
	char tag[REFERENCE_TAG_MAX + 1];	 /* "": named by digest */
	struct digest digest;
	size_t repository_len; /* of the path, up to the repository's name */
	const char *rest;      /* in the path, what is beneath; "" */
};

/*
 * `path` is relative to the mount's top, without empty components, "." and
 * ".."; "" is the top.  `source` as in struct options, or NULL.  -EINVAL: no
 * such path can be there.
 */
int mountpath_parse(const char *path, const char *source,
		    struct mountpath *ret);
