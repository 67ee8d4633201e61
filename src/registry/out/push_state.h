/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A push from inside: push.c decides what comes next, push_session.c opens,
 * and ends sessions, push_ask.c asks what is there, push_body.c sends bytes,
 * push_answer.c judges answers. */
#include <stdbool.h>
#include <stdint.h>

#include "registry/call.h"
#include "registry/host.h"
#include "registry/object.h"
#include "registry/out/push.h"
#include "registry/push_form.h"

#define PUSH_PIECE ((size_t)512 << 10)

struct push {
	struct registry *r;
	const struct push_spec *spec;
	const struct push_source *source; /* or NULL */
	struct wait *w;
	uint64_t patience_ms; /* without progress */
	struct object o;      /* the blob */
	char *scope;	      /* to push it */
	struct push_habits habits;
	char *buf; /* PUSH_PIECE bytes, for looking ahead; or NULL */

	uint64_t seen; /* bytes that the source is known to have */
	bool ended;    /* and these are all */
	bool checked;  /* they are what the digest says */
	bool rechecked;

	char *url;     /* of the session, a secret; NULL: none is open */
	uint64_t off;  /* bytes it holds, as far as we know */
	uint64_t sent; /* bytes it may hold */
	bool opened;   /* a PATCH was accepted in it */
	uint64_t mark; /* off when attempts were last counted anew */
	unsigned attempts;
	unsigned restarts; /* sessions that were lost */
	unsigned shrinks;  /* it holds less than it said */
	unsigned strangers, hops;
	unsigned cuts;	   /* streams of which nothing was kept */
	bool careful;	   /* so now it is chunks */
	unsigned vanished; /* sessions that ended before the first byte */
	struct outcome out;
};

/* What a step comes to; or -errno: recorded, or the source's own. */
enum push_step { PUSH_ON, PUSH_DONE };

/* The deadline is moved: there was progress. */
void push_renew(struct push *p);
/* Records why it failed; returns the error. */
int push_fail(struct push *p, int error);

/* --- push_session.c --- */
int push_open(struct push *p);
/* By a mount.  PUSH_DONE: mounted; PUSH_ON: not, perhaps a session is open. */
int push_mount(struct push *p);
/* The answer's Location is the session's URL from now on.  -errno. */
int push_move(struct push *p, struct call *c, bool must);
/* How much the session holds, or a new one. */
int push_resync(struct push *p);
/* Begins anew from the first byte. */
int push_restart(struct push *p, bool is_gone);
/* The same because of us: does not count. */
void push_drop(struct push *p, bool is_gone);
/* After `stored` bytes were acknowledged. */
void push_progress(struct push *p, uint64_t stored);
/* What an open session says of itself: false if nothing of use. */
int push_ask_status(struct push *p, struct outcome *out, struct call **ret);
bool push_read_status(const struct push *p, const struct call *c,
		      uint64_t *ret_stored);

/* --- push_ask.c --- */
/* PUSH_DONE: the blob is there.  `strict`: it must be known. */
int push_ask(struct push *p, bool strict);
/* The commit was asked for and not answered (faults.md N23). */
int push_find_out(struct push *p);
/* What digest an answer gives: 1 ours, -1 another, 0 none to compare. */
int push_names(const struct push *p, const struct call *c);

/* --- push_body.c --- */
/* At least one byte, 0 at the end. */
ssize_t push_read(struct push *p, void *buf, size_t len, uint64_t off);
/* The source has at least that much, or has ended. */
int push_look_ahead(struct push *p, uint64_t bytes);
/* All was read: is it what the digest says?  Asked once. */
int push_approve(struct push *p);
int push_send(struct push *p, const struct push_part *part);

/* --- push_answer.c --- */
/* How the sending of a part ended. */
struct push_ending {
	bool whole;   /* all that it should have */
	bool commits; /* so the registry may have committed it */
};

/* What comes of an answer. */
int push_judge(struct push *p, const struct push_part *part, struct call *c,
	       struct push_ending *end);
/* There was none, p->out says why. */
int push_cut(struct push *p, const struct push_part *part,
	     const struct push_ending *end);
