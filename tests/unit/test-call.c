/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that change something, one at a time. */
#include "registry/call.h"

#include "scripted.h"

#include <errno.h>

#include "registry/host.h"

#define BASIC "am86c2VjcmV0" /* jo:secret */
#define OTHER_BASIC "eDp5"   /* x:y */
#define PUSH "repository:a/b:pull,push"
#define BIG ((size_t)3 << 20)

static struct {
	/* Statuses of the first requests for /thing, then `status`. */
	int first[8];
	int status;
	bool gone;	  /* instead of the first */
	const char *head; /* a line with all of them, or NULL */
	bool bearer, basic;
	unsigned token; /* number of the valid one */
	bool useless;	/* tokens that nothing is good for */
	bool open_read; /* in anybody's name */
	int early;	/* status, for uploads */
	/* What was had. */
	unsigned things;
	size_t body_len;
	char body[64];
	bool is_same; /* the big one came as it was sent */
} act;

static char big[BIG];

static void answer_token(const struct request *q, struct reply *p)
{
	if (!head_is(q, "Authorization", "Basic " BASIC) &&
	    !head_is(q, "Authorization", NULL)) {
		refuse(p, 401, "UNAUTHORIZED");
		return;
	}
	say_made(p, 200, "{\"token\":\"tok%u%s%s\"}", act.token,
		 act.useless ? "-useless" : "",
		 head_is(q, "Authorization", NULL) ? "-nobody" : "");
}

static bool let_in(struct scripted *s, const struct request *q, struct reply *p)
{
	char want[64];

	snprintf(want, sizeof(want), "Bearer tok%u", act.token);
	if (act.basic && act.status == 403) {
		/* GHCR's way to refuse a password. */
		if (!head_is(q, "Authorization", NULL)) {
			refuse(p, 403, "DENIED");
			return false;
		}
		add_head(p, "WWW-Authenticate: Basic realm=\"x\"");
	} else if (act.basic) {
		if (head_is(q, "Authorization", "Basic " BASIC))
			return true;
		add_head(p, "WWW-Authenticate: Basic realm=\"x\"");
	} else if (act.bearer) {
		char nobody[80];

		snprintf(nobody, sizeof(nobody), "%s-nobody", want);
		if (head_is(q, "Authorization", want) ||
		    (act.open_read && strcmp(q->method, "GET") == 0 &&
		     head_is(q, "Authorization", nobody)))
			return true;
		add_head(p,
			 "WWW-Authenticate: Bearer realm=\"%s/token\","
			 "service=\"x\",scope=\"" PUSH "\"",
			 s->origin);
	} else {
		return true;
	}
	refuse(p, 401, "UNAUTHORIZED");
	return false;
}

static void answer_thing(struct scripted *s, const struct request *q,
			 struct reply *p)
{
	unsigned n = act.things++;
	int status = n < COUNT(act.first) && act.first[n] ? act.first[n]
							  : act.status;

	(void)s;
	act.body_len = q->body_len;
	snprintf(act.body, sizeof(act.body), "%s", q->body ? q->body : "");
	act.is_same = q->body_len == BIG && memcmp(q->body, big, BIG) == 0;
	p->gone = act.gone && n == 0;
	if (status >= 300 && status < 400 && act.head)
		add_head(p, "%s", act.head);
	if (status >= 400)
		refuse(p, status, "SOMETHING");
	else
		say(p, status, "");
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (strncmp(q->target, "/token", 6) == 0)
		answer_token(q, p);
	else if (!let_in(s, q, p))
		return;
	else if (strcmp(q->target, "/v2/") == 0)
		say(p, 200, "{}");
	else
		answer_thing(s, q, p);
}

static bool early(struct scripted *s, const struct request *q, struct reply *p)
{
	(void)s;
	if (!act.early || strncmp(q->target, "/thing", 6) != 0)
		return false;
	refuse(p, act.early, "SOMETHING");
	return true;
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	memset(&act, 0, sizeof(act));
	act.status = 201;
	act.token = 1;
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i * 7 + (i >> 9));
	client_start(c, answer, answer);
	c->s.early = early;
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	return 0;
}

static struct call_spec spec_of(const char *method)
{
	return (struct call_spec){.method = method,
				  .path = "/thing",
				  .repository = "a/b",
				  .scope = PUSH,
				  .object = "a/b/_tags/x"};
}

/* The status, or -errno. */
static int run(struct client *c, const struct call_spec *s)
{
	struct call *call;
	int r;

	wait_init(&c->w, 5000, 0);
	script_sync(&c->s);
	script_sync(&c->other);
	r = call_run(c->r, s, &c->w, &call);
	script_sync(&c->s);
	script_sync(&c->other);
	if (r < 0)
		return r;
	r = call_status(call);
	call_close(call);
	return r;
}

static void test_lines(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
	struct client *c = *state;
	struct call_spec s;

	s = spec_of("PUT");
	s.content_type = "application/x";
	s.content_range = "5-7";
	s.if_match = "\"tag\"";
	s.body = "abc";
	s.body_bytes = 3;
	assert_int_equal(run(c, &s), 201);
	assert_string_equal(act.body, "abc");
	assert_int_equal(asked(&c->s, "Content-Type: application/x\r\n"), 1);
	assert_int_equal(asked(&c->s, "Content-Range: 5-7\r\n"), 1);
	assert_int_equal(asked(&c->s, "If-Match: \"tag\"\r\n"), 1);
	assert_int_equal(asked(&c->s, "Expect:"), 0);
	for (size_t i = 0; i < COUNT(methods); i++) {
		char line[32];

		s = spec_of(methods[i]);
		assert_int_equal(run(c, &s), 201);
		snprintf(line, sizeof(line), "%s /thing ", methods[i]);
		assert_null(
			strcasestr(last_asked(&c->s, line), "content-type"));
		if (i < 3)
			assert_non_null(strcasestr(last_asked(&c->s, line),
						   "content-length: 0\r\n"));
	}
	assert_int_equal(act.body_len, 0);
}

static void test_again(void **state)
{
	static const struct {
		bool once, gone;
		int first;
		int result;
		unsigned things;
	} rows[] = {
		{false, false, 503, 201, 2}, {false, true, 0, 201, 2},
		{false, false, 500, 201, 2}, {true, false, 429, 201, 2},
		{true, false, 503, 503, 1},  {true, false, 502, 502, 1},
		{true, false, 500, 500, 1},  {true, true, 0, -EIO, 1},
		{true, false, 404, 404, 1},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;
		struct call_spec s;

		setup(state);
		c = *state;
		/* On a connection of its own: on a kept one that is lost
		 * libcurl tries once more by itself. */
		act.first[0] = rows[i].first;
		act.gone = rows[i].gone;
		s = spec_of("PUT");
		s.body = "abc";
		s.body_bytes = 3;
		s.once = rows[i].once;
		assert_int_equal(run(c, &s), rows[i].result);
		assert_int_equal(act.things, rows[i].things);
		teardown(state);
	}
	setup(state);
}

/* Nobody was reached, so nothing was done. */
static void test_once_unreached(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("PUT");
	struct registry *r;
	struct outcome out;
	struct call *call;

	s.once = true;
	s.silent = &out;
	assert_int_equal(registries_get(c->all, "127.0.0.1:1", &r), 0);
	assert_int_equal(call_run(r, &s, &c->w, &call), -ECONNREFUSED);
	assert_true(outcome_unreached(&out));
}

static void test_token_ends(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("PATCH");

	client_login(c, BASIC);
	act.bearer = true;
	s.body = "abc";
	s.body_bytes = 3;
	s.once = true;
	assert_int_equal(run(c, &s), 201);
	act.token++; /* the first is good for nothing any more */
	assert_int_equal(run(c, &s), 201);
	assert_int_equal(act.things, 2);
	assert_string_equal(act.body, "abc");
	assert_int_equal(asked(&c->s, "GET /token"), 2);
	/* All of it in our own name. */
	assert_int_equal(asked(&c->s, "nobody"), 0);
}

/* A change is not tried in nobody's name when ours was refused. */
static void test_never_anonymous(void **state)
{
	static const struct {
		const char *scope;
		bool bearer;
		int status;
		bool tries_nobody;
	} rows[] = {
		{"repository:a/b:pull", true, 0, true},
		{"repository:a/b:pull", false, 0, true},
		{"repository:push/delete:pull", false, 0, true},
		{PUSH, true, 0, false},
		{PUSH, false, 0, false},
		{PUSH, false, 403, false},
		{"repository:a/b:pull,delete", false, 0, false},
		{"repository:x:pull repository:a/b:delete,pull", false, 403,
		 false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;
		struct call_spec s;
		int r;

		setup(state);
		c = *state;
		client_login(c, OTHER_BASIC);
		act.bearer = rows[i].bearer;
		act.basic = !rows[i].bearer;
		act.status = rows[i].status ? rows[i].status : 201;
		s = spec_of("PUT");
		s.scope = rows[i].scope;
		/* Twice: what is remembered of the first must not matter. */
		for (int k = 0; k < 2; k++) {
			r = run(c, &s);
			assert_true(r == 401 || r == 403 || r == -EACCES);
		}
		for (unsigned k = 0; k < c->s.asked; k++) {
			const char *head = c->s.log[k];

			if (rows[i].tries_nobody || strstr(head, " /v2/ "))
				continue;
			assert_non_null(strstr(head, "Authorization: "));
		}
		if (rows[i].tries_nobody)
			assert_true(asked(&c->s, "PUT /thing") +
					    asked(&c->s, "GET /token") >
				    asked(&c->s, "Authorization: "));
		teardown(state);
	}
	setup(state);
}

/* What reading did without is needed to write. */
static void test_refused_before(void **state)
{
	struct client *c = *state;
	struct call_spec read = spec_of("GET"), write = spec_of("PUT");

	client_login(c, OTHER_BASIC);
	act.bearer = act.open_read = true;
	act.status = 200;
	read.scope = "repository:a/b:pull";
	assert_int_equal(run(c, &read), 200);
	assert_int_equal(asked(&c->s, "Authorization: Basic " OTHER_BASIC), 1);
	assert_int_equal(run(c, &read), 200);
	assert_int_equal(asked(&c->s, "Authorization: Basic " OTHER_BASIC), 1);
	assert_int_equal(run(c, &write), -EACCES);
	assert_int_equal(asked(&c->s, "Authorization: Basic " OTHER_BASIC), 2);
	assert_int_equal(asked(&c->s, "PUT /thing"), 0);
}

/* Without any credential, nobody's name is as good as any. */
static void test_anonymous(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("PUT");

	act.bearer = true;
	assert_int_equal(run(c, &s), 401);
	assert_int_equal(asked(&c->s, "Authorization: Bearer tok1-nobody"), 1);
}

/* Somebody has logged in meanwhile. */
static void test_looks_again(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("PUT");
	char text[256];

	client_login(c, OTHER_BASIC);
	act.basic = true;
	assert_int_equal(run(c, &s), 401);
	snprintf(text, sizeof(text), "\"%s\":{\"auth\":\"" BASIC "\"}",
		 c->s.host);
	client_auths(c, text);
	pthread_mutex_lock(&c->r->lock);
	c->r->refresh_after_ms = 0;
	pthread_mutex_unlock(&c->r->lock);
	assert_int_equal(run(c, &s), 201);
}

static void test_location(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("PATCH");
	struct options o = {.timeout_s = 20};
	struct allow *allow;
	char home[128], away[128], plain[128];

	client_login(c, BASIC);
	act.basic = true;
	snprintf(home, sizeof(home), "%s/thing/1?_state=a-_=&", c->s.origin);
	snprintf(away, sizeof(away), "%s/thing/2?sig=%%2F", c->other.origin);
	/* The very first thing asked of a host, after a restart, say. */
	s.location = home;
	s.body = "abc";
	s.body_bytes = 3;
	assert_int_equal(run(c, &s), 201);
	assert_int_equal(asked(&c->s, "PATCH /thing/1?_state=a-_=& HTTP/1.1"),
			 1);
	assert_non_null(strstr(last_asked(&c->s, "PATCH"),
			       "Authorization: Basic " BASIC));
	/* Nothing goes elsewhere that nobody named. */
	s.location = away;
	assert_int_equal(run(c, &s), -EIO);
	assert_int_equal(c->other.asked, 0);
	/* Elsewhere it gets neither our name nor our own headers, nor does a
	 * challenge get an answer. */
	assert_int_equal(string_list_add(&o.allow, c->s.host), 0);
	assert_int_equal(string_list_add(&o.allow, c->other.host), 0);
	assert_int_equal(allow_new(&o, c->auth, &allow), 0);
	((struct registries_config *)(uintptr_t)c->r->cfg)->allow = allow;
	assert_int_equal(run(c, &s), 401);
	assert_int_equal(c->other.asked, 1);
	assert_int_equal(asked(&c->other, "PATCH /thing/2?sig=%2F HTTP"), 1);
	assert_int_equal(asked(&c->other, "Authorization"), 0);
	assert_int_equal(asked(&c->other, "X-Canary"), 0);
	act.basic = false;
	act.bearer = true;
	assert_int_equal(run(c, &s), 401);
	assert_int_equal(asked(&c->other, "/token"), 0);
	/* Where a URL may not lead. */
	snprintf(plain, sizeof(plain), "ftp://%s/x", c->s.host);
	s.location = plain;
	assert_int_equal(run(c, &s), -EIO);
	((struct registries_config *)(uintptr_t)c->r->cfg)->allow = NULL;
	allow_free(allow);
	string_list_done(&o.allow);
}

static void test_redirects(void **state)
{
	static const struct {
		const char *method;
		int status;
		bool away;
		int result;
		unsigned things; /* at both */
	} rows[] = {
		{"PUT", 307, false, 201, 2},	{"PUT", 308, false, 201, 2},
		{"POST", 307, false, 201, 2},	{"PATCH", 308, false, 201, 2},
		{"DELETE", 307, false, 201, 2}, {"PUT", 307, true, -EIO, 1},
		{"PUT", 301, false, 301, 1},	{"POST", 302, false, 302, 1},
		{"PATCH", 303, false, 303, 1},	{"GET", 302, false, 201, 2},
		{"GET", 307, true, 201, 2},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char line[128];
		struct client *c;
		struct call_spec s;

		setup(state);
		c = *state;
		snprintf(line, sizeof(line), "Location: %s/thing/else",
			 rows[i].away ? c->other.origin : c->s.origin);
		act.first[0] = rows[i].status;
		act.head = line;
		s = spec_of(rows[i].method);
		if (rows[i].method[0] == 'P') {
			s.body = "abc";
			s.body_bytes = 3;
		}
		assert_int_equal(run(c, &s), rows[i].result);
		assert_int_equal(act.things, rows[i].things);
		assert_int_equal(act.body_len, s.body_bytes);
		teardown(state);
	}
	setup(state);
}

/* --- uploads --- */

static int open_upload(struct client *c, uint64_t bytes, struct call **ret)
{
	struct call_spec s = spec_of("PATCH");

	s.content_type = "application/octet-stream";
	s.upload = true;
	s.upload_bytes = bytes;
	script_sync(&c->s);
	return call_run(c->r, &s, &c->w, ret);
}

static int finish(struct client *c, struct call *call, struct outcome *out)
{
	int r = call_finish(call, &c->w, out);

	script_sync(&c->s);
	return r;
}

static int send_bytes(struct client *c, struct call *call, const char *buf,
		      size_t len)
{
	size_t at = 0;

	while (at < len) {
		void *room;
		ssize_t n = call_send_room(call, len - at, &c->w, &room);

		if (n < 0)
			return (int)n;
		memcpy(room, buf + at, (size_t)n);
		call_send_filled(call, (size_t)n);
		at += (size_t)n;
	}
	return 0;
}

static int send_big(struct client *c, struct call *call)
{
	return send_bytes(c, call, big, BIG);
}

static void test_upload(void **state)
{
	static const uint64_t sizes[] = {BIG, HTTP_UPLOAD_UNKNOWN};
	struct client *c = *state;
	struct outcome out;
	struct call *call;

	client_login(c, BASIC);
	act.basic = true;
	act.status = 202;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(open_upload(c, sizes[i], &call), 0);
		assert_int_equal(send_big(c, call), 0);
		assert_int_equal(finish(c, call, &out), 0);
		assert_int_equal(call_status(call), 202);
		assert_non_null(call_header(
			call, "docker-distribution-api-version", 0));
		assert_int_equal(call_sent_bytes(call), BIG);
		assert_true(act.is_same);
		assert_int_equal(slots_used(&c->r->lanes->sends), 0);
		call_close(call);
	}
	assert_int_equal(asked(&c->s, "PATCH /thing"), 2);
	assert_int_equal(asked(&c->s, "Content-Type: application/octet-stream"),
			 2);
}

/* The answer comes while there is still something to send. */
static void test_upload_early(void **state)
{
	static const int statuses[] = {413, 401, 500};

	for (size_t i = 0; i < COUNT(statuses); i++) {
		struct outcome out = {.error = 0};
		struct client *c;
		struct call *call;
		int r = 0;

		setup(state);
		c = *state;
		act.early = statuses[i];
		assert_int_equal(open_upload(c, (uint64_t)BIG * 64, &call), 0);
		for (int k = 0; k < 64 && r == 0; k++)
			r = send_big(c, call);
		assert_int_equal(r, -EPIPE);
		r = finish(c, call, &out);
		/* The connection may be lost before the answer is read. */
		if (r == 0) {
			assert_int_equal(call_status(call), statuses[i]);
			assert_string_equal(call_outcome(call)->code,
					    "SOMETHING");
		} else {
			assert_int_equal(r, -EIO);
			assert_int_equal(out.fail, HTTP_FAIL_RESET);
		}
		assert_true(call_sent_bytes(call) < (uint64_t)BIG * 64);
		call_close(call);
		teardown(state);
	}
	setup(state);
}

/* A 401 is an answer; what it says serves the next one. */
static void test_upload_renewed(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("POST");
	struct outcome out;
	struct call *call;

	client_login(c, BASIC);
	act.bearer = true;
	assert_int_equal(run(c, &s), 201);
	act.token++;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_upload(c, 3, &call), 0);
		assert_int_equal(send_bytes(c, call, "abc", 3), 0);
		assert_int_equal(finish(c, call, &out), 0);
		assert_int_equal(call_status(call), i ? 201 : 401);
		assert_int_equal(call_may_repeat(call), !i);
		call_close(call);
	}
	assert_string_equal(act.body, "abc");
	/* Refused with what was asked for just now: that is final. */
	act.token++;
	act.useless = true;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_upload(c, 3, &call), 0);
		assert_int_equal(send_bytes(c, call, "abc", 3), 0);
		assert_int_equal(finish(c, call, &out), 0);
		assert_int_equal(call_status(call), 401);
		assert_int_equal(call_may_repeat(call), !i);
		assert_int_equal(call_fault(call, &c->w), -EACCES);
		call_close(call);
	}
}

static void test_upload_lost(void **state)
{
	struct client *c = *state;
	struct outcome out = {.error = 0};
	struct call_spec s = spec_of("POST");
	struct call *call;

	assert_int_equal(run(c, &s), 201);
	act.things = 0;
	act.gone = true;
	assert_int_equal(open_upload(c, 3, &call), 0);
	assert_int_equal(send_bytes(c, call, "abc", 3), 0);
	assert_int_equal(finish(c, call, &out), -EIO);
	assert_true(out.may_retry);
	assert_int_equal(out.error, -EIO);
	assert_int_equal(act.things, 1);
	assert_int_equal(slots_used(&c->r->lanes->sends), 0);
	call_close(call);
	assert_int_equal(fault_log_count(c->faults), 0);
}

/* Left alone, it gives back what it had. */
static void test_upload_closed(void **state)
{
	struct client *c = *state;
	struct call_spec s = spec_of("POST");
	struct call *calls[SLOTS_SENDS + 1];

	for (int i = 0; i < SLOTS_SENDS; i++)
		assert_int_equal(open_upload(c, 1000, &calls[i]), 0);
	assert_int_equal(slots_used(&c->r->lanes->sends), SLOTS_SENDS);
	/* Uploads that wait for their sources leave the way free for those. */
	assert_int_equal(run(c, &s), 201);
	wait_init(&c->w, 100, 0);
	assert_int_equal(open_upload(c, 1000, &calls[SLOTS_SENDS]), -ETIMEDOUT);
	for (int i = 0; i < SLOTS_SENDS; i++)
		call_close(calls[i]);
	assert_int_equal(slots_used(&c->r->lanes->sends), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_teardown(test_again, teardown),
		cmocka_unit_test_setup_teardown(test_once_unreached, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_token_ends, setup,
						teardown),
		cmocka_unit_test_teardown(test_never_anonymous, teardown),
		cmocka_unit_test_setup_teardown(test_refused_before, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_anonymous, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_looks_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_location, setup, teardown),
		cmocka_unit_test_teardown(test_redirects, teardown),
		cmocka_unit_test_setup_teardown(test_upload, setup, teardown),
		cmocka_unit_test_teardown(test_upload_early, teardown),
		cmocka_unit_test_setup_teardown(test_upload_renewed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_upload_lost, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_upload_closed, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
