/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a symbolic link that somebody makes would lead to, by its text alone: an
 * image of some repository in this mount.  No I/O.
 */
#include "config/options.h"
#include "oci/reference.h"

/*
 * `dir`: the way from the mount's root to the link's directory ("" is the root
 * itself).  The target: "1.4", "./1.4", "../_manifests/sha256:…", "app:1.4", an
 * absolute path beneath the mountpoint, and the like; or a digest alone.
 * -EINVAL: it leads to no image.  In *ret either the tag is not "" or there is
 * a digest.
 */
int link_target_parse(const struct options *o, const char *dir,
		      const char *target, struct reference *ret);
