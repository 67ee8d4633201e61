/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A registry that takes manifests, well or badly, and a client that puts one.
 */
#include "scripted.h"

#include <errno.h>

#include "oci/mediatype.h"
#include "registry/host.h"
#include "registry/out/put.h"

#define BODY "{\"schemaVersion\":2,\"layers\":[]}"
#define TAG "/v2/a/b/manifests/1.0"
#define NO_BODY "-"

/* How the fake registry behaves; zero is well. */
static struct {
	/* PUT: so many times this instead of 201. */
	int put, times;
	const char *code, *text; /* code NULL: an empty body */
	bool gone;		 /* no answer at all */
	unsigned delay_ms;
	bool stores_anyway; /* although it does not say so */
	bool stores_other, stores_nothing;
	unsigned shown_after; /* HEADs until what is stored can be seen */
	const char *header;   /* Docker-Content-Digest of the answer, or NULL */
	const char *subject;
	/* HEAD, likewise */
	int head, head_times;
	bool head_bare; /* no digest */
	int delete;
	const char *delete_code;
	/* What is there under the tag. */
	bool has, has_other;
	unsigned puts, heads, gets;
	char type[4096], last[256];
} act;

static void refuse_with(struct reply *p, int status, const char *code,
			const char *text)
{
	if (!code) {
		say(p, status, "");
		return;
	}
	add_head(p, "Content-Type: application/json");
	say_made(p, status,
		 "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\"}]}", code,
		 text ? text : "");
}

static const char *digest_text(const char *body)
{
	static _Thread_local char text[DIGEST_TEXT_MAX];
	struct digest d;

	digest_of(HASH_SHA256, body, strlen(body), &d);
	digest_format(&d, text);
	return text;
}

static void store(void)
{
	act.has = !act.stores_nothing && !act.stores_other;
	act.has_other = act.stores_other;
}

static void answer_put(const struct request *q, struct reply *p)
{
	act.puts++;
	snprintf(act.last, sizeof(act.last), "%s", q->body);
	head_value(q->head, "content-type", act.type);
	if (act.times > 0) {
		act.times--;
		if (act.stores_anyway)
			store();
		p->gone = act.gone;
		p->delay_ms = act.delay_ms;
		refuse_with(p, act.put, act.code, act.text);
		return;
	}
	store();
	if (act.header)
		add_head(p, "Docker-Content-Digest: %s", act.header);
	if (act.subject)
		add_head(p, "OCI-Subject: %s", act.subject);
	say(p, 201, "");
}

static void answer_get(const struct request *q, struct reply *p)
{
	bool head = strcmp(q->method, "HEAD") == 0;
	const char *body = act.has_other ? "{\"other\":1}" : BODY;

	if (head && act.heads++ < (unsigned)act.head_times) {
		refuse_with(p, act.head, NULL, NULL);
		return;
	}
	act.gets += !head;
	if ((!act.has && !act.has_other) || act.heads <= act.shown_after) {
		refuse_with(p, 404, "MANIFEST_UNKNOWN", "x");
		return;
	}
	add_head(p, "Content-Type: %s", MEDIATYPE_OCI_MANIFEST);
	if (!act.head_bare)
		add_head(p, "Docker-Content-Digest: %s", digest_text(body));
	say(p, 200, body);
}

static void answer_delete(const struct request *q, struct reply *p)
{
	if (act.delete < 300)
		say(p, act.delete, "");
	else
		refuse_with(p, act.delete,
			    strcmp(act.delete_code, NO_BODY) == 0
				    ? NULL
				    : act.delete_code,
			    "the operation is unsupported");
	(void)q;
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	(void)s;
	if (strcmp(q->target, "/v2/") == 0) {
		add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
		say(p, 200, "{}");
	} else if (strcmp(q->method, "PUT") == 0) {
		answer_put(q, p);
	} else if (strcmp(q->method, "DELETE") == 0) {
		answer_delete(q, p);
	} else {
		answer_get(q, p);
	}
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	memset(&act, 0, sizeof(act));
	client_start(c, answer, answer);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	return 0;
}

/* BODY as 1.0 of a/b. */
UNUSED static struct put_manifest usual(struct digest *d)
{
	digest_of(HASH_SHA256, BODY, strlen(BODY), d);
	return (struct put_manifest){.repository = "a/b",
				     .reference = "1.0",
				     .digest = d,
				     .mediatype = MEDIATYPE_OCI_MANIFEST,
				     .bytes = BODY,
				     .len = strlen(BODY)};
}

static int put_it(struct client *c, const struct put_manifest *m)
{
	int r;

	script_sync(&c->s);
	r = put_manifest(c->r, m, &c->w, NULL);
	script_sync(&c->s);
	return r;
}

static int put(struct client *c, const char *tag, bool *ret_subject)
{
	struct digest d;
	struct put_manifest m = usual(&d);
	int r;

	m.reference = tag;
	wait_init(&c->w, 5000, 0);
	script_sync(&c->s);
	r = put_manifest(c->r, &m, &c->w, ret_subject);
	script_sync(&c->s);
	return r;
}

static const char *errors(struct client *c)
{
	static char text[4096];
	struct str out = {.len = 0};

	assert_int_equal(fault_log_print(c->faults, &out), 0);
	snprintf(text, sizeof(text), "%s", out.buf ? out.buf : "");
	str_done(&out);
	return text;
}
