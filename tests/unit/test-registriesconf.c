/* SPDX-License-Identifier: Apache-2.0 */
/* By which ways a repository is read, as registries.conf says, and what it
 * blocks. */
#include "routes-fixture.h"

static void test_registries_conf(void **state)
{
	static const struct row rows[] = {
		{"docker.io", "library/a",
		 "m1.test/v2 hub/library/a; m2:5000/v2 library/a; - library/a",
		 "m1.test/v2 hub/library/a; m3.test/v2 library/a; - library/a"},
		{"docker.io", "team/x", "- team/x", "- team/x"},
		{"docker.io", "team/x/y", "- team/x/y", "- team/x/y"},
		{"docker.io", "team/xy",
		 "m1.test/v2 hub/team/xy; m2:5000/v2 team/xy; - team/xy",
		 "m1.test/v2 hub/team/xy; m3.test/v2 team/xy; - team/xy"},
		{"example.test", "foo/x", "inner.test/v2 bar/x",
		 "inner.test/v2 bar/x"},
		{"example.test", "foo", "inner.test/v2 bar",
		 "inner.test/v2 bar"},
		{"example.test", "food", "- food", "- food"},
		{"a.wild.test", "x", "w.test/v2 p/x", "w.test/v2 p/x"},
		{"b.a.wild.test", "x", "narrow.test/v2 x", "narrow.test/v2 x"},
		{"wild.test", "x", "- x", "- x"},
		{"only.test", "x", "d.test/v2 x; - x", "- x"},
		{"late.test", "x", "two.test/v2 x", "two.test/v2 x"},
	};
	autoptr(hosts) h = NULL;
	struct host_conf c;

	(void)state;
	put(CONF, "unqualified-search-registries = [\"docker.io\"]\n"
		  "[[registry]]\nprefix = \"docker.io\"\n"
		  "[[registry.mirror]]\nlocation = \"m1.test/hub\"\n"
		  "[[registry.mirror]]\nlocation = \"m2:5000\"\n"
		  "pull-from-mirror = \"digest-only\"\n"
		  "[[registry.mirror]]\nlocation = \"m3.test\"\n"
		  "pull-from-mirror = \"tag-only\"\n"
		  "[[registry]]\nlocation = \"docker.io/team/x\"\n"
		  "[[registry]]\nprefix = \"example.test/foo\"\n"
		  "location = \"inner.test/bar\"\n"
		  "[[registry]]\nprefix = \"*.wild.test\"\n"
		  "location = \"w.test/p\"\n"
		  "[[registry]]\nprefix = \"*.a.wild.test\"\n"
		  "location = \"narrow.test\"\n"
		  "[[registry]]\nlocation = \"bad.test\"\nblocked = true\n"
		  "[[registry]]\nprefix = \"half.test/no\"\nblocked = true\n"
		  "[[registry]]\nlocation = \"loose.test\"\ninsecure = true\n"
		  "[aliases]\n\"f\" = \"docker.io/library/f\"\n");
	put(DROPIN "10-a.conf", "[[registry]]\nprefix = \"only.test\"\n"
				"mirror-by-digest-only = true\n"
				"[[registry.mirror]]\nlocation = \"d.test\"\n"
				"[[registry]]\nprefix = \"late.test\"\n"
				"location = \"one.test\"\n");
	put(DROPIN "20-b.conf", "[[registry]]\nprefix = \"late.test\"\n"
				"location = \"two.test\"\n");
	put(DROPIN "30-c", "[[registry]]\nprefix = \"late.test\"\n"
			   "location = \"three.test\"\n");
	h = start();
	check(h, rows, COUNT(rows));

	assert_says(hosts_blocked(h, "bad.test", "any/x"), "registries.conf:");
	assert_non_null(hosts_blocked(h, "bad.test", ""));
	assert_null(hosts_blocked(h, "half.test", ""));
	assert_non_null(hosts_blocked(h, "half.test", "no/x"));
	assert_null(hosts_blocked(h, "half.test", "nox"));

	assert_int_equal(hosts_find(h, "loose.test", &c), 0);
	assert_true(c.insecure && c.try_https_first && !c.plain_http);
	host_conf_done(&c);
	assert_int_equal(hosts_find(h, "bad.test", &c), 0);
	assert_false(c.insecure || c.try_https_first);
	host_conf_done(&c);
}

/* insecure of a part of a host is not the host's. */
static void test_insecure_part(void **state)
{
	static const struct row rows[] = {
		{"h.test", "ns/a", "h.test/v2 ns/a", "h.test/v2 ns/a"},
		{"h.test", "b", "- b", "- b"},
	};
	autoptr(hosts) h = NULL;
	struct host_conf c;
	struct route r;

	(void)state;
	put(CONF, "[[registry]]\nprefix = \"h.test/ns\"\ninsecure = true\n");
	h = start();
	check(h, rows, COUNT(rows));
	assert_int_equal(hosts_find(h, "h.test", &c), 0);
	assert_false(c.insecure);
	host_conf_done(&c);
	assert_int_equal(hosts_route(h, "h.test", "ns/a", true, &r), 0);
	assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
	assert_true(c.insecure && c.try_https_first);
	host_conf_done(&c);
	route_done(&r);
}

/* How a place is talked to: p: http only, t: https first, i: not verified. */
static void test_schemes(void **state)
{
	static const struct {
		const char *host, *text, *flags;
	} rows[] = {
		{"m.test", "", "---"},
		{"m.test", "insecure = true\n", "-ti"},
		{"m.test", "insecure = false\n", "---"},
		{"m.test", "insecure = 1\n", "---"},
		{"localhost:1", "", "-ti"},
		{"127.0.0.1:1", "insecure = true\n", "-ti"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		autoptr(hosts) h = NULL;
		autofree char *text = str_printf("[[registry]]\n"
						 "location = 'a.test'\n"
						 "[[registry.mirror]]\n"
						 "location = '%s'\n%s",
						 rows[i].host, rows[i].text);
		char flags[4];
		struct host_conf c;
		struct route r;

		put(CONF, text);
		capture_begin();
		h = start();
		capture_end();
		assert_int_equal(hosts_route(h, "a.test", "x", true, &r), 0);
		assert_int_equal(hosts_endpoint(h, r.v[0].endpoint, &c), 0);
		assert_string_equal(c.host, rows[i].host);
		snprintf(flags, sizeof(flags), "%c%c%c",
			 c.plain_http ? 'p' : '-',
			 c.try_https_first ? 't' : '-', c.insecure ? 'i' : '-');
		if (strcmp(flags, rows[i].flags) != 0)
			fail_msg("%s: %s", text, flags);
		host_conf_done(&c);
		route_done(&r);
	}
}

static const struct {
	const char *text, *says;
} broken[] = {
	{"[[registry]]\nprefix = \"a.test\nblocked = true\n",
	 "registries.conf:2: what begins here has a string without an end"},
	{"colour = 1\n", ":1: colour is unknown here, and ignored"},
	{"[[registry]]\nlocation = \"x.test\"\ninsecure = 1\n",
	 ":3: insecure must be true or false"},
	{"[[registry]]\nlocation = \"https://x.test\"\n", ":1: https://x.test"},
	{"[[registry]]\nlocation = \"x.test/a:1\"\n", "single tags"},
	{"[[registry]]\n", ":1: a registry without prefix and location"},
	{"[[registry]]\nprefix = \"*.x.test/a\"\n", "is no prefix"},
	{"[[registry]]\nprefix = \"x.test/..\"\n", "is no address"},
	{"[[registry]]\nlocation = \"x.test\"\nmirror = [7]\n",
	 ":3: this cannot be a mirror"},
	{"[[registry]]\nlocation = \"x.test\"\n[[registry.mirror]]\n"
	 "location = \"https://m.test\"\n",
	 ":3: https://m.test must be without a scheme"},
	{"[[registry]]\nlocation = \"x.test\"\n[[registry.mirror]]\n"
	 "location = \"m.test\"\npull-from-mirror = \"some\"\n",
	 "must be all, digest-only or tag-only"},
};

static void test_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(broken); i++) {
		autoptr(hosts) h = NULL;
		autofree char *text =
			str_printf("%s[[registry]]\nprefix = \"good.test\"\n"
				   "location = \"there.test\"\n",
				   broken[i].text);
		autofree char *got = NULL;

		put(CONF, text);
		capture_begin();
		h = start();
		assert_says(capture_end(), broken[i].says);
		/* The rest counts. */
		got = route(h, "good.test", "a", true);
		assert_string_equal(got, "there.test/v2 a");
	}
}

/* What of an entry cannot be read must not open what it may block. */
static const struct {
	const char *text, *says;
	bool blocks_it, blocks_all; /* h.test/x; anything */
} doubtful[] = {
	{"prefix='h.test'\nblocked = tru\n", "taken for true", true, false},
	{"prefix='h.test'\nblocked = \"yes\"\n", ":3: blocked cannot be", true,
	 false},
	{"prefix='h.test'\nblocked\n", "has no = behind", true, false},
	{"prefix='h.test'\nblocked = false\nblocked = true\n",
	 "sets what is set already", true, false},
	{"prefix='h.test'\nblocked = false\n", "", false, false},
	{"prefix='h.test'\nblocked = true\nlocation = 'https://x'\n",
	 "without a scheme", true, false},
	{"prefix='h.test'\nblocked = true\ncolour = 1\n", "colour", true,
	 false},
	{"prefix='h.test\nblocked = true\n", "all are blocked", true, true},
	{"prefix=7\nblocked = true\nlocation='o.test'\n", "all are blocked",
	 true, true},
	{"prefix='https://h.test'\nblocked = true\n", "all are blocked", true,
	 true},
	{"blocked = true\n", "all are blocked", true, true},
	{"prefix='h.test/x:1'\nblocked = true\n",
	 "what is blocked is all of it", true, false},
	{"prefix='h.test'\nblocked = true\n[[registry.mirror]]\nlocation=x\n",
	 "a mirror without a location", true, false},
	{"prefix='h.test\nlocation = 'o.test'\n", "a prefix that can be read",
	 false, false},
};

static void test_fails_closed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(doubtful); i++) {
		autoptr(hosts) h = NULL;
		autofree char *text =
			str_printf("[[registry]]\n%s", doubtful[i].text);

		put(CONF, text);
		capture_begin();
		h = start();
		assert_says(capture_end(), doubtful[i].says);
		if (!hosts_blocked(h, "h.test", "x") == doubtful[i].blocks_it ||
		    !hosts_blocked(h, "o.test", "") == doubtful[i].blocks_all)
			fail_msg("%s", text);
		if (doubtful[i].blocks_it)
			assert_says(hosts_blocked(h, "h.test", "x"),
				    "registries.conf:1");
	}
}

/* Whole files of which nobody knows what they block, and where they say so. */
static const struct {
	const char *text, *where; /* of o.test, of which nothing is said */
} lost[] = {
	{"[[registry]\nprefix='h.test'\nblocked=true\n", "conf:1"},
	{"\n[[registry\nprefix='h.test'\nblocked=true\n", "conf:2"},
	{"[aliases\n[[registry]]\nprefix='h.test'\n", "conf:1"},
	{"[[regi stry]]\nprefix='h.test'\nblocked=true\n", "conf:1"},
	{"[[registry]] #\n[[registry]] x\nprefix='h.test'\n", "conf:2"},
	{"[registry]\nprefix='h.test'\nblocked=true\n", "conf:1"},
	{"[registry]\n[[registry]]\nprefix='h.test'\nblocked=true\n", "conf:1"},
	{"registry = 'x'\n", "conf:1"},
	{"registry]]\nprefix='h.test'\nblocked=true\n", "conf:1"},
	{"#[[registry]]\nprefix='h.test'\nblocked=true\n", "conf:3"},
	{"[[registry]]\nprefix='g.test'\nregistry]]\nprefix='h.test'\n"
	 "blocked=true\n",
	 "conf:1"},
	{"[registries.block]\nregistries=['h.test', 7]\n", "conf:2"},
	{"[registries.block]\nregistries=['h.test'\n", "conf:2"},
	{"[registries.block\nregistries=['h.test']\n", "conf:1"},
	{"[registries.block]\nregistries=['https://h.test']\n", "conf:2"},
	{"[registries]\nblock = ['h.test']\n", "conf:2"},
	/* What is lost blocks nothing. */
	{"[[registry]]\nprefix='h.test'\n[[registry.mirror]\nlocation='x'\n",
	 NULL},
	{"[aliases]\n[aliases]\n[[registry]]\nprefix='h.test'\n", NULL},
	{"[aliases]\na = 'b\n", NULL},
};

static void test_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(lost); i++) {
		autoptr(hosts) h = NULL;
		const char *where;

		put(CONF, lost[i].text);
		capture_begin();
		h = start();
		capture_end();
		where = hosts_blocked(h, "o.test", "");
		if (lost[i].where && (!where || !strstr(where, lost[i].where)))
			fail_msg("%s: %s", lost[i].text, where);
		if (!lost[i].where && where)
			fail_msg("%s: %s", lost[i].text, where);
	}
}

/* More broken beginnings than are told of: the last one swallowed the rest. */
static void test_too_broken(void **state)
{
	autostr text = {.max = 0};
	autoptr(hosts) h = NULL;

	(void)state;
	for (int i = 0; i < 20; i++)
		str_add(&text, "x = [\n");
	str_add(&text, "[[registry]]\nprefix='h.test'\nblocked=true\n");
	put(CONF, text.buf);
	capture_begin();
	h = start();
	capture_end();
	assert_non_null(hosts_blocked(h, "h.test", ""));
}

static void test_version_1(void **state)
{
	autoptr(hosts) h = NULL;

	(void)state;
	put(CONF, "[registries.search]\nregistries = ['quay.io']\n"
		  "[registries.block]\nregistries = ['a.test', 'b.test/no']\n");
	capture_begin();
	h = start();
	assert_string_equal(capture_end(), "");
	assert_says(hosts_blocked(h, "a.test", "x"), "conf:4");
	assert_says(hosts_blocked(h, "b.test", "no/x"), "conf:4");
	assert_null(hosts_blocked(h, "b.test", "x"));
	assert_null(hosts_blocked(h, "quay.io", ""));
}

/* Files that cannot be used block what they may block; all else goes on. */
static void test_no_files(void **state)
{
	autofree char *large = malloc((10 << 20) + 1);

	(void)state;
	memset(large, '#', 10 << 20);
	large[10 << 20] = '\0';
	for (int i = 0; i < 5; i++) {
		autoptr(hosts) h = NULL;
		struct host_conf c;

		fixture_clean(NULL);
		if (i == 0) {
			make_dir(CONF);
			make_dir(TOML("h.test"));
		} else if (i == 1) {
			put(CONF, large);
			put(TOML("h.test"), large);
		} else if (i == 2) {
			put_mode(CONF, "", 0666);
			put_mode(TOML("h.test"), "", 0666);
		} else if (i == 3) {
			put_mode(CONF, "", 0000);
			put_mode(TOML("h.test"), "", 0000);
		} else {
			put(TOML("h.test"), large);
			put_mode(DROPIN "b.conf", "", 0666);
		}
		capture_begin();
		h = start();
		assert_int_equal(hosts_find(h, "h.test", &c), 0);
		host_conf_done(&c);
		assert_int_equal(hosts_find(h, "h.test", &c), 0);
		host_conf_done(&c);
		{
			const char *said = capture_end();
			const char *first = strstr(said, "hosts.toml");

			assert_says(said,
				    i == 4 ? "b.conf " : "registries.conf ");
			assert_says(said, "all are blocked");
			assert_non_null(first);
			/* Once, not per look-up. */
			assert_null(strstr(first + 1, "hosts.toml"));
		}
		assert_says(hosts_blocked(h, "b.test", "x"),
			    i == 4 ? "b.conf" : CONF);
	}
}

/* What is too much is left out; what that may block is not let through. */
static void test_too_many(void **state)
{
	(void)state;
	for (int blocked = 0; blocked < 2; blocked++) {
		autostr text = {.max = 1 << 20};
		autoptr(hosts) h = NULL;

		for (int i = 0; i < 1025; i++)
			str_addf(&text, "[[registry]]\nlocation='h%d.test'\n",
				 i);
		str_add(&text, blocked ? "blocked = true\n" : "");
		put(CONF, text.buf);
		capture_begin();
		h = start();
		assert_says(capture_end(), "this is one too many");
		assert_int_equal(hosts_blocked(h, "o.test", "") != NULL,
				 blocked);
	}
}

static void test_too_many_files(void **state)
{
	autoptr(hosts) h = NULL;

	(void)state;
	for (int i = 0; i < 257; i++) {
		char name[96];

		snprintf(name, sizeof(name), DROPIN "%d.conf", i);
		put(name, "");
	}
	capture_begin();
	h = start();
	assert_says(capture_end(), "all are blocked");
	assert_says(hosts_blocked(h, "o.test", ""), "registries.conf.d");
}

/* The file that the environment names takes the place of the usual one. */
static void test_told_file(void **state)
{
	autoptr(hosts) h = NULL;
	autoptr(hosts) without = NULL;
	autoptr(hosts) empty = NULL;

	(void)state;
	put(CONF, "[[registry]]\nlocation = 'a.test'\nblocked = true\n");
	put("mine.conf", "[[registry]]\nlocation = 'b.test'\nblocked = true\n");
	setenv("CONTAINERS_REGISTRIES_CONF", at("mine.conf"), 1);
	h = start();
	assert_null(hosts_blocked(h, "a.test", "x"));
	assert_says(hosts_blocked(h, "b.test", "x"), "mine.conf:1");
	setenv("CONTAINERS_REGISTRIES_CONF", at("absent.conf"), 1);
	capture_begin();
	without = start();
	assert_says(capture_end(), "absent.conf does not exist");
	assert_null(hosts_blocked(without, "a.test", "x"));
	setenv("CONTAINERS_REGISTRIES_CONF", "", 1);
	empty = start();
	assert_non_null(hosts_blocked(empty, "a.test", "x"));
	unsetenv("CONTAINERS_REGISTRIES_CONF");
}

/* As editors of other systems leave them. */
static void test_endings(void **state)
{
	autoptr(hosts) h = NULL;

	(void)state;
	put(CONF, "\xef\xbb\xbf[[registry]]\r\nprefix = 'h.test'\r\n"
		  "blocked = true\r\n");
	capture_begin();
	h = start();
	assert_string_equal(capture_end(), "");
	assert_non_null(hosts_blocked(h, "h.test", "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_registries_conf, fixture_clean),
		cmocka_unit_test_teardown(test_insecure_part, fixture_clean),
		cmocka_unit_test_teardown(test_schemes, fixture_clean),
		cmocka_unit_test_teardown(test_broken, fixture_clean),
		cmocka_unit_test_teardown(test_fails_closed, fixture_clean),
		cmocka_unit_test_teardown(test_lost, fixture_clean),
		cmocka_unit_test_teardown(test_too_broken, fixture_clean),
		cmocka_unit_test_teardown(test_version_1, fixture_clean),
		cmocka_unit_test_teardown(test_no_files, fixture_clean),
		cmocka_unit_test_teardown(test_too_many, fixture_clean),
		cmocka_unit_test_teardown(test_too_many_files, fixture_clean),
		cmocka_unit_test_teardown(test_told_file, fixture_clean),
		cmocka_unit_test_teardown(test_endings, fixture_clean),
	};
	int failed;

	fixture_start();
	unsetenv("CONTAINERS_REGISTRIES_CONF");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return failed;
}
