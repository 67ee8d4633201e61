/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A relay is one blob on its way from another repository: read from the cache
 * if most of it is there, else straight from its registry, leaving nothing
 * behind on the disk.  All that is read is hashed, so that `relay_check` can
 * say whether what went on is what the digest says.  One thread at a time.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "content/repo.h"
#include "oci/digest.h"
#include "util/wait.h"

struct relay;

/* No request.  `direct`: it may take a connection of its own to the registry
 * for as long as it lives. */
int relay_open(struct repo *from, const struct digest *d, uint64_t size_bytes,
	       bool direct, struct relay **ret);
void relay_close(struct relay *r); /* NULL is fine */
/*
 * At least one byte from off, 0 at the end.  Going back costs a new request,
 * and some bytes again; -EBADMSG: they are others than before.  Not for more
 * than ms without a byte: the wait's deadline is moved.
 */
ssize_t relay_read(struct relay *r, void *buf, size_t len, uint64_t off,
		   unsigned ms, struct wait *w);
/* Reads what was not read yet.  0, or -EBADMSG: recorded. */
int relay_check(struct relay *r, unsigned ms, struct wait *w);
