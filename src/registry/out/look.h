/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Is a manifest that was sent really there?  One HEAD; a GET where HEAD tells
 * too little.  Nothing is recorded. */
#include "registry/call.h"
#include "registry/object.h"
#include "registry/out/put.h"

enum look {
	LOOK_OURS,
	LOOK_BEFORE, /* what the tag meant before */
	LOOK_OTHER,  /* something else goes by this name */
	LOOK_ABSENT,
	LOOK_REFUSED, /* it is not for us to see */
	LOOK_UNKNOWN, /* trouble, which may pass; `out` says what */
};

/* `o` is what is asked for, with a scope that may read it.  -EINTR, -ENOMEM,
 * -ETIMEDOUT: no answer. */
int look_at(struct registry *r, const struct put_manifest *p,
	    const struct object *o, struct wait *w, enum look *ret,
	    struct outcome *out);
/* The same by an answer's Docker-Content-Digest; UNKNOWN: it has none. */
enum look look_said(const struct call *c, const struct put_manifest *p);
