/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The places a repository can be read from, one after the other: mirrors as
 * they are configured, then where it really is.  A mirror is a registry of its
 * own, with its own credential or none, that gets one attempt and a third of
 * the caller's patience; one that is down, or gave bytes of another digest, is
 * passed over for a while.  Its failures are nobody's errors.
 */
#include "config/hosts.h"
#include "registry/registry.h"

#define MIRROR_DOWN_MS 30000
#define MIRROR_LIED_MS 600000

struct round {
	struct registry *home; /* of the name */
	struct route route;
	size_t at;
	struct registry *registry; /* whom to ask now */
	const char *repository;	   /* under which name */
	bool last;		   /* there is nobody else */
	struct wait *w;		   /* NULL: its deadline is the caller's */
	uint64_t deadline_ms;
};

/* Takes place at the first one.  round_done in any case. */
int round_begin(struct round *o, struct registry *r, const char *repository,
		bool by_digest);
/* The same for this tag or digest: only where it really is, if it was changed
 * here. */
int round_begin_for(struct round *o, struct registry *r, const char *repository,
		    const char *reference);
void round_done(struct round *o);
/* Around what is asked of a place: it may not use up the caller's patience. */
void round_enter(struct round *o, struct wait *w);
void round_leave(struct round *o);
/* It failed: true if there is another place to ask now.  Otherwise the error
 * is the answer. */
bool round_go_on(struct round *o, int error, struct wait *w);
/* The bytes of this mirror were wrong. */
void mirror_distrust(struct registry *m);
/* Of a registry: frees its mirrors. */
void mirrors_free(struct registry *r);
/* Lines about them for people; see registry_print. */
int mirrors_print(struct registry *r, struct str *out);
