/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is written into `_blobs`: blobs under their digests, and files under
 * temporary names, which a rename to a digest sends. */
#include "fs/node.h"
#include "oci/digest.h"

bool dir_blobs_is(const struct node *n);
/* The repository of the `_blobs` that n is, or is a file of; NULL: it is
 * elsewhere. */
struct repo *dir_blobs_repo(struct node *n);
/* Is n a file there that is named by a digest? */
bool dir_blobs_names(struct node *n, struct digest *ret);
