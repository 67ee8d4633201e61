/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call whose body is given piece by piece.  Nobody can send such a body
 * again, so nothing is followed and nothing tried twice here: redirects and
 * refusals are answers.  What a 401 says is learned for the next call.
 *
 *   call_run -> sending (call_send_*) -> call_finish -> answered
 *                                                 \-> failed: closed
 */
#include <string.h>

#include "registry/call_state.h"

ssize_t call_send_room(struct call *c, size_t len, struct wait *w, void **ret)
{
	return http_send_room(c->x.transfer, len, w, ret);
}

void call_send_filled(struct call *c, size_t n)
{
	http_send_filled(c->x.transfer, n);
}

static int learn(struct call *c, struct wait *w)
{
	const struct http_head *head = c->x.head;
	int r;

	if (!c->home)
		return 0;
	registry_note_head(c->r, c->url, head);
	if (head->status != 401 && head->status != 403) {
		auth_accepted(&c->auth);
		return 0;
	}
	call_give_slot(c);
	r = auth_refused(&c->auth, c->url, head, w, &c->out);
	c->may_repeat = r == STEP_AGAIN;
	return r < 0 ? r : 0;
}

static int conclude(struct call *c, struct wait *w)
{
	int r = learn(c, w);

	if (r < 0)
		return r;
	c->status = c->x.head->status;
	if (c->status < 200 || c->status > 299) {
		call_read_refusal(c, w);
		c->may_repeat |=
			c->home && auth_ended(&c->auth, c->status, &c->out);
	} else {
		call_drain(c, w);
	}
	call_give_slot(c);
	return 0;
}

int call_finish(struct call *c, struct wait *w, struct outcome *out)
{
	int r = exchange_finish(&c->r->wire, &c->x, w, &c->out);

	if (r == 0)
		r = conclude(c, w);
	*out = c->out;
	if (r < 0) {
		c->sent_bytes = call_sent_bytes(c);
		call_hang_up(c);
	}
	return r;
}

uint64_t call_sent_bytes(const struct call *c)
{
	return c->x.transfer ? http_sent_bytes(c->x.transfer) : c->sent_bytes;
}

bool call_may_repeat(const struct call *c)
{
	return c->may_repeat;
}
