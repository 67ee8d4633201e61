/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A call from inside: call.c begins and ends it, place.c says where to ask,
 * attempt.c asks, send.c sends what is given piece by piece, answer.c reads
 * what came. */
#include <stdbool.h>
#include <stdint.h>

#include "registry/auth.h"
#include "registry/call.h"
#include "registry/host.h"
#include "registry/there.h"

struct call {
	struct registry *r;
	struct there there; /* what was asked for, in the place's words */
	struct auth auth;
	char *object;
	bool is_head, has_body, bulk, missing_is_news;
	struct slots *slots; /* of the registry, for what this call is */

	char *base;	     /* "https://h:5000" of the registry */
	char *url;	     /* where to ask now; a secret if not home */
	bool home;	     /* that is the registry's own origin */
	bool remembered;     /* url comes from an earlier redirect */
	enum http_peer peer; /* of who named url */
	unsigned hops, anew, made;
	char *foreign; /* anonymous token of a second registry, or NULL */

	struct exchange x;
	bool has_slot;
	int status;
	bool is_oci;
	char *body;
	size_t body_len;
	uint64_t sent_bytes; /* of an upload that failed */
	bool may_repeat;
	struct outcome out;
};

enum { STEP_DONE = 0, STEP_AGAIN = 1 };

/* Where to ask first.  STEP_AGAIN, or c->out.error. */
int call_place(struct call *c, const struct call_spec *s, struct wait *w);
int call_go_home(struct call *c, const struct call_spec *s);
bool call_is_redirect(int status);
/* What a redirect, or an answer from elsewhere, leads to: STEP_DONE is the
 * answer, STEP_AGAIN, or c->out.error. */
int call_follow(struct call *c, const struct call_spec *s);
int call_judge_abroad(struct call *c, const struct call_spec *s,
		      struct wait *w);
int call_no_memory(struct call *c); /* c->out.error */

/* From the registry to an answer's head, and what of its body is wanted at
 * once.  0, or c->out.error. */
int call_attempt(struct call *c, const struct call_spec *s, struct wait *w);
void call_read_refusal(struct call *c, struct wait *w);
/* Reads what little an answer has left, so that its connection can be kept. */
void call_drain(struct call *c, struct wait *w);
void call_give_slot(struct call *c); /* if it has one */
/* Ends the exchange and gives the slot back. */
void call_hang_up(struct call *c);
