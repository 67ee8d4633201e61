/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One request to a registry, all the way: endpoint, authentication, slot,
 * redirects, attempts, until there is an answer that means something.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "registry/exchange.h"
#include "registry/registry.h"

struct call_spec {
	const char *method;	/* GET or HEAD */
	const char *path;	/* "/v2/...", encoded, with query */
	const char *repository; /* "" for the host */
	const char *scope;	/* "repository:x:pull"; "" for none */
	const char *object;	/* for people: "team/app/_tags/1.4" */
	const char *accept;	/* or NULL */
	const char *range;	/* "bytes=0-9" or NULL */
	const char *remember;	/* key for a redirect's target, or NULL */
	uint64_t max_body_bytes;
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
bool call_is_home(const struct call *c); /* answered by the registry itself */
bool call_identified(const struct call *c);
bool call_http2(const struct call *c);
/* What a refusal said. */
const struct outcome *call_outcome(const struct call *c);
/* -errno for a status nobody has a use for, recorded.  A 404 is -ENOENT only
 * if the registry itself said it, else -EIO (faults.md N13). */
int call_fault(struct call *c, struct wait *w);
/* As above for an answer that makes no sense, whatever its status. */
int call_broken(struct call *c, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Body bytes; as http_read.  After -EIO `out` says why. */
ssize_t call_read(struct call *c, void *buf, size_t len, struct wait *w,
		  struct outcome *out);
/* True after a sleep: one more attempt is in order.  False: none, or the wait
 * ended (then *ret_error is set to how). */
bool call_again(struct registry *r, const struct outcome *out, unsigned attempt,
		struct wait *w, int *ret_error);

/* Asks /v2/ without identification, if that is not known yet. */
int call_learn(struct registry *r, struct wait *w, struct outcome *out);
