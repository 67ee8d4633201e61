/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A call from inside: call.c begins and ends it, attempt.c asks, answer.c
 * reads what came. */
#include <stdbool.h>
#include <stdint.h>

#include "registry/auth.h"
#include "registry/call.h"
#include "registry/host.h"

struct call {
	struct registry *r;
	struct auth auth;
	char *object;
	bool is_head, bulk, missing_is_news;

	char *base;	     /* "https://h:5000" of the registry */
	char *url;	     /* where to ask now; a secret if not home */
	bool home;	     /* that is the registry's own origin */
	bool remembered;     /* url comes from an earlier redirect */
	enum http_peer peer; /* of who named url */
	unsigned hops, anew;
	char *foreign; /* anonymous token of a second registry, or NULL */

	struct exchange x;
	bool has_slot;
	int status;
	bool is_oci;
	char *body;
	size_t body_len;
	struct outcome out;
};

/* From the registry to an answer's head, and what of its body is wanted at
 * once.  0, or c->out.error. */
int call_attempt(struct call *c, const struct call_spec *s, struct wait *w);
/* Ends the exchange and gives the slot back. */
void call_hang_up(struct call *c);
