/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of a registry: all of it, in plain words, and no secret. */
#include "scripted.h"

#include "registry/host.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/str.h"

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	(void)s;
	(void)q;
	say(p, 200, "{}");
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
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

/* The value behind the label, up to its line's end; NULL: no such line. */
static const char *value_of(const char *page, const char *label)
{
	static char value[512];
	char start[32];
	const char *at;

	snprintf(start, sizeof(start), "%-12s ", label);
	at = strstr(page, start);
	if (!at)
		return NULL;
	at += strlen(start);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\n"), at);
	return value;
}

/* NULL: there is no such line. */
static void row_is(struct registry *r, const char *label, const char *expected)
{
	autostr page = {.len = 0};
	const char *value;

	assert_int_equal(registry_print(r, &page), 0);
	value = value_of(page.buf, label);
	if (!value != !expected || (value && strcmp(value, expected) != 0))
		fail_msg("%s: %s, not %s", label, value, expected);
}

static void member_is(struct registry *r, const char *name,
		      const char *expected)
{
	autostr text = {.len = 0};
	autofree char *part = str_printf("\"%s\":%s", name, expected);
	struct json *doc = NULL;
	struct json_error err;

	assert_int_equal(registry_print_json(r, &text), 0);
	assert_int_equal(json_parse(text.buf, text.len, text.len, &doc, &err),
			 0);
	json_free(doc);
	if (!strstr(text.buf, part))
		fail_msg("no %s in %s", part, text.buf);
}

static void before_it_was_asked(void **state)
{
	struct client *c = *state;

	row_is(c->r, "host", c->s.host);
	row_is(c->r, "transport", "not asked yet");
	row_is(c->r, "protocol", NULL);
	row_is(c->r, "network", "unknown");
	row_is(c->r, "api", NULL);
	row_is(c->r, "auth", "unknown");
	row_is(c->r, "realm", NULL);
	row_is(c->r, "ranges", "yes");
	row_is(c->r, "catalogue", "unknown");
	row_is(c->r, "rate limit", NULL);
	row_is(c->r, "tokens", NULL);
	member_is(c->r, "auth", "\"unknown\"");
	member_is(c->r, "tls_verified", "false");
}

static void transports(void **state)
{
	static const struct {
		enum scheme scheme;
		bool insecure, http2;
		const char *transport, *protocol, *verified;
	} t[] = {
		{SCHEME_HTTPS, false, true, "https", "HTTP/2", "true"},
		{SCHEME_HTTPS, true, false, "https, not verified", "HTTP/1.1",
		 "false"},
		{SCHEME_HTTP, false, false, "http", "HTTP/1.1", "false"},
	};
	struct client *c = *state;

	for (size_t i = 0; i < COUNT(t); i++) {
		const struct host_conf *conf;

		assert_int_equal(registry_conf(c->r, &conf), 0);
		c->r->scheme = t[i].scheme;
		c->r->conf.insecure = t[i].insecure;
		c->r->http2 = t[i].http2;
		row_is(c->r, "transport", t[i].transport);
		row_is(c->r, "protocol", t[i].protocol);
		member_is(c->r, "tls_verified", t[i].verified);
		member_is(c->r, "http2", t[i].http2 ? "true" : "false");
	}
}

static void networks(void **state)
{
	static const struct {
		enum http_peer peer;
		const char *name;
	} t[] = {
		{HTTP_PEER_LOOPBACK, "loopback"},
		{HTTP_PEER_LOCAL, "link-local"},
		{HTTP_PEER_PRIVATE, "private"},
		{HTTP_PEER_PUBLIC, "public"},
		{HTTP_PEER_ANY, "unknown"},
	};
	struct client *c = *state;

	for (size_t i = 0; i < COUNT(t); i++) {
		c->r->peer = t[i].peer;
		row_is(c->r, "network", t[i].name);
	}
}

static void supports(void **state)
{
	struct client *c = *state;

	registry_set_referrers(c->r, SUPPORT_YES);
	registry_set_catalog(c->r, SUPPORT_NO);
	registry_set_no_ranges(c->r);
	row_is(c->r, "referrers", "yes");
	row_is(c->r, "catalogue", "no");
	row_is(c->r, "ranges", "no");
	member_is(c->r, "ranges", "false");
	registry_set_referrers(c->r, SUPPORT_NO);
	registry_set_catalog(c->r, SUPPORT_YES);
	row_is(c->r, "referrers", "no");
	row_is(c->r, "catalogue", "yes");
}

/* What they say is theirs: neither a line of it nor an escape gets out, and
 * what is signed or secret in an address does not either. */
static void demands(void **state)
{
	struct client *c = *state;
	struct demand d = {.known = true, .scheme = CHALLENGE_OTHER};

	c->r->speaks = true;
	row_is(c->r, "auth", "not asked for");
	registry_set_demand(c->r, &d);
	row_is(c->r, "auth", "none");
	d.scheme = CHALLENGE_BASIC;
	registry_set_demand(c->r, &d);
	row_is(c->r, "auth", "basic");
	/* One that changes its mind is not believed at once. */
	d.scheme = CHALLENGE_BEARER;
	registry_set_demand(c->r, &d);
	row_is(c->r, "auth", "basic");
	registry_forget_demand(c->r);
	d.realm = strdup("https://u:hidden@a.test/token?secret=hidden");
	d.service = strdup("a\nhost         b\x1b[2J");
	registry_set_demand(c->r, &d);
	row_is(c->r, "auth", "bearer");
	{
		autostr page = {.len = 0};
		autostr text = {.len = 0};

		assert_int_equal(registry_print(c->r, &page), 0);
		assert_int_equal(registry_print_json(c->r, &text), 0);
		assert_non_null(strstr(page.buf, "https://a.test/token"));
		assert_null(strstr(page.buf, "hidden"));
		assert_null(strstr(text.buf, "hidden"));
		assert_null(strchr(page.buf, '\x1b'));
		assert_null(strchr(text.buf, '\x1b'));
		assert_null(strstr(page.buf, "\nhost         b"));
	}
	c->r->refused_until_ms = UINT64_MAX;
	row_is(c->r, "credential", "refused, going without");
	c->r->refused_until_ms = 0;
	row_is(c->r, "credential", NULL);
	demand_done(&d);
}

static void limits(void **state)
{
	struct client *c = *state;
	autostr page = {.len = 0};

	c->r->rate = (struct rate){.known = true,
				   .limit = 100,
				   .remaining = 7,
				   .window_s = 21600,
				   .seen_ms = clock_ms()};
	assert_int_equal(registry_print(c->r, &page), 0);
	assert_non_null(strstr(page.buf, "7 of 100 left per 21600 s ("));
	member_is(c->r, "ratelimit",
		  "{\"limit\":100,\"remaining\":7,\"window_s\":21600,"
		  "\"age_s\":");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(before_it_was_asked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(transports, setup, teardown),
		cmocka_unit_test_setup_teardown(networks, setup, teardown),
		cmocka_unit_test_setup_teardown(supports, setup, teardown),
		cmocka_unit_test_setup_teardown(demands, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
