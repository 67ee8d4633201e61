/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One request to a registry, all the way: endpoint, authentication, slot,
 * redirects, attempts, until there is an answer that means something.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "registry/registry.h"
#include "registry/wire/exchange.h"

struct call_spec {
	const char *method;   /* GET HEAD POST PUT PATCH DELETE */
	const char *path;     /* "/v2/...", encoded, with query */
	const char *location; /* instead of path: absolute, judged; a secret */
	const char *repository; /* "" for the host */
	const char *scope;	/* "repository:x:pull"; "" for none */
	const char *object;	/* for people: "team/app/_tags/1.4" */
	const char *accept;	/* or NULL */
	const char *range;	/* "bytes=0-9" or NULL */
	const char *remember;	/* key for a redirect's target, or NULL */
	uint64_t max_body_bytes;
	/* Of a request that changes something; its own or none. */
	const char *content_type, *content_range, *if_match;
	const void *body; /* sent as it is, again at each attempt */
	size_t body_bytes;
	bool upload; /* the body comes by call_send_room: one attempt only */
	uint64_t upload_bytes; /* or HTTP_UPLOAD_UNKNOWN */
	bool sends; /* takes one of the uploads' slots, as those do */
	/* What must not be asked twice unless it surely was not done: one
	 * attempt, but for 401, 429 and connections that never came about.
	 * (libcurl tries a kept connection that turns out to be dead once more
	 * by itself, unless it is an upload's.) */
	bool once;

	bool creates;  /* a repository that is not there is made (ecr.h) */
	bool document; /* the body is wanted whole, by call_body */
	bool bulk;
	bool stay;		/* a redirect to another host is an answer */
	bool learning;		/* never identifies itself */
	bool missing_is_news;	/* a believable 404 is recorded */
	struct outcome *silent; /* failures go here, not to the log; or NULL */
};

struct call;
/*
 * 0: there is an answer, of any status (retries are behind us).  Else -errno,
 * recorded: nobody answered, or authentication failed.
 */
int call_run(struct registry *r, const struct call_spec *s, struct wait *w,
	     struct call **ret);
void call_close(struct call *c); /* NULL is fine */

int call_status(const struct call *c);
const char *call_header(const struct call *c, const char *name, size_t nth);
/* The whole document; "" if there is none. */
const char *call_body(const struct call *c, size_t *ret_len);
const char *call_url(const struct call *c); /* secret */
/* Some proxy's page instead of an answer. */
bool call_is_page(const struct call *c);
bool call_is_home(const struct call *c); /* answered by the registry itself */
bool call_identified(const struct call *c);
bool call_http2(const struct call *c);
/* What a refusal said. */
const struct outcome *call_outcome(const struct call *c);
/* -errno for a status nobody has a use for.  A 404 is -ENOENT only if the
 * registry itself said it, else -EIO (faults.md N13). */
int call_judge(struct call *c, struct wait *w);
/* The same, recorded. */
int call_fault(struct call *c, struct wait *w);
/* As above for an answer that makes no sense, whatever its status. */
int call_broken(struct call *c, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * An upload: call_run returns as soon as the request is on its way (identified
 * by what is known; `upload` calls never see a challenge: a 401 is an answer).
 * call_send_room and call_send_filled as those of http; call_finish ends the
 * body and waits for the answer, after which the call is as any other: 0, or
 * -errno with `out` saying why (not recorded; then only call_close and
 * call_sent_bytes are left).
 */
ssize_t call_send_room(struct call *c, size_t len, struct wait *w, void **ret);
void call_send_filled(struct call *c, size_t n);
int call_finish(struct call *c, struct wait *w, struct outcome *out);
uint64_t call_sent_bytes(const struct call *c);
/* Of an upload's 401 or 403: what was learned from it (the token has ended, the
 * challenge wants more, the user's files have another secret) will identify the
 * next call otherwise, so it is worth asking again. */
bool call_may_repeat(const struct call *c);

/* Body bytes; as http_read.  After -EIO `out` says why. */
ssize_t call_read(struct call *c, void *buf, size_t len, struct wait *w,
		  struct outcome *out);
/* True after a sleep: one more attempt is in order.  False: none, or the wait
 * ended (then *ret_error is set to how). */
bool call_again(struct registry *r, const struct outcome *out, unsigned attempt,
		struct wait *w, int *ret_error);

/* Asks /v2/ without identification, if that is not known yet. */
int call_learn(struct registry *r, struct wait *w, struct outcome *out);
