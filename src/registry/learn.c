/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v2/: what a host is and whom it wants to see.  Asked without
 * identification, by one thread however many want to know, and only where
 * nothing else has told: when there is a credential to be sent, when a 401
 * names no challenge, when a bare 404 might come from anybody.
 */
#include <errno.h>
#include <strings.h>

#include "registry/call.h"
#include "registry/host.h"
#include "util/auto.h"

#define LEARN_BODY_MAX ((uint64_t)1 << 20)

/* 1: it is ours to ask; 0: known by now. */
static int begin(struct registry *r, struct wait *w, struct outcome *out)
{
	autolock(&r->lock);
	while (r->learning) {
		int e = wait_cond(w, &r->learned, &r->lock);

		if (e < 0)
			return outcome_set(out, e, "no answer from /v2/");
	}
	if (r->demand.known && r->speaks)
		return 0;
	r->learning = true;
	return 1;
}

static void end(struct registry *r)
{
	autolock(&r->lock);
	r->learning = false;
	pthread_cond_broadcast(&r->learned);
}

static bool is_html(const struct call *c)
{
	const char *type = call_header(c, "content-type", 0);

	return type && strncasecmp(type, "text/html", 9) == 0;
}

static int judge(struct registry *r, const struct call *c, struct outcome *out)
{
	const struct demand open = {.known = true, .scheme = CHALLENGE_OTHER};
	int status = call_status(c);

	/* 401 has left its challenge behind; one without says nothing. */
	if (status == 200 && !is_html(c) && call_is_home(c)) {
		registry_set_demand(r, &open);
	} else if (status >= 500 || status == 429 || status == 408) {
		*out = *call_outcome(c);
		return out->error;
	} else if (call_is_home(c)) {
		autolock(&r->lock);
		r->demand.known = true;
	}
	return 0;
}

int call_learn(struct registry *r, struct wait *w, struct outcome *out)
{
	const struct call_spec spec = {.method = "GET",
				       .path = "/v2/",
				       .repository = "",
				       .scope = "",
				       .object = "/v2/",
				       .max_body_bytes = LEARN_BODY_MAX,
				       .document = true,
				       .learning = true,
				       .silent = out};
	struct call *c;
	int e = begin(r, w, out);

	if (e <= 0)
		return e;
	e = call_run(r, &spec, w, &c);
	if (e == 0) {
		e = judge(r, c, out);
		call_close(c);
	}
	end(r);
	return e;
}
