/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "config/allow.h"
#include "config/pattern.h"

#define AUTHS                                                                  \
	"{\"auths\":{\"cred.io\":{\"auth\":\"YTpi\"},"                         \
	"\"deep.io/team\":{\"auth\":\"YTpi\"},"                                \
	"\"https://index.docker.io/v1/\":{}}}"

struct world {
	struct options o;
	struct dockerauth *auth;
	struct allow *allow;
};

static void start(struct world *w, const char *source, const char *patterns,
		  bool allow_other)
{
	char *copy = strdup(patterns), *rest = copy, *word;

	*w = (struct world){.o = {.allow_other = allow_other}};
	w->o.source = source ? strdup(source) : NULL;
	while ((word = strsep(&rest, " "))) {
		if (*word)
			assert_int_equal(string_list_add(&w->o.allow, word), 0);
	}
	free(copy);
	put("auth.json", AUTHS);
	assert_int_equal(dockerauth_new(at("auth.json"), &w->auth), 0);
	assert_int_equal(allow_new(&w->o, w->auth, &w->allow), 0);
}

static void stop(struct world *w)
{
	allow_free(w->allow);
	dockerauth_free(w->auth);
	options_done(&w->o);
}

/* What is asked for, and: "-" no, "d" a directory on the way, "x" content */
struct question {
	const char *host, *repository, *answer;
};

static void ask(struct world *w, const struct question *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool path = allow_path(w->allow, q[i].host, q[i].repository);
		bool exact = allow_exact(w->allow, q[i].host, q[i].repository);
		const char *got = exact ? "x" : path ? "d" : "-";

		assert_true(path || !exact);
		if (strcmp(got, q[i].answer) != 0)
			fail_msg("%s/%s: %s", q[i].host, q[i].repository, got);
		if (!*q[i].repository)
			assert_int_equal(allow_host(w->allow, q[i].host), path);
	}
}

static void patterns(void **state)
{
	static const struct question q[] = {
		{"bare.io", "", "x"},
		{"bare.io", "a/b", "x"},
		{"bare.io:5000", "", "-"},
		{"other.io", "", "-"},
		{"cred.io", "", "-"},
		{"one.io", "", "d"},
		{"one.io", "team", "d"},
		{"one.io", "team/app", "x"},
		{"one.io", "team/app/web", "-"},
		{"one.io", "team/ap", "-"},
		{"one.io", "tea", "-"},
		{"all.io", "", "d"},
		{"all.io", "team", "d"},
		{"all.io", "team/app", "x"},
		{"all.io", "team/app/web", "x"},
		{"all.io", "teams/app", "-"},
		{"glob.io", "a", "d"},
		{"glob.io", "a/app", "x"},
		{"glob.io", "a/b/app", "-"},
		{"glob.io", "web-7-x", "x"},
		{"glob.io", "web-7-y", "d"},
		{"a.sub.io", "x", "x"},
		{"a.b.sub.io", "x", "x"},
		{"sub.io", "x", "-"},
		{"a.sub.io.evil.io", "x", "-"},
		{"h:5000", "x", "x"},
		{"docker.io", "library/alpine", "x"},
		{"index.docker.io", "library/alpine", "x"},
	};
	struct world w;

	start(&w, NULL,
	      "bare.io one.io/team/app all.io/team/** glob.io/*/app "
	      "glob.io/web-*-x *.sub.io h+5000 index.docker.io/library/**",
	      false);
	ask(&w, q, COUNT(q));
	assert_true(allow_spells(w.allow, "bare.io"));
	assert_false(allow_spells(w.allow, "a.sub.io"));
	assert_false(allow_spells(w.allow, "one.io"));
	assert_non_null(strstr(allow_reason(w.allow), "allow="));
	assert_true(allow_names(w.allow, "bare.io"));
	assert_true(allow_names(w.allow, "h:5000"));
	assert_true(allow_names(w.allow, "a.sub.io"));
	assert_false(allow_names(w.allow, "h:5001"));
	assert_false(allow_names(w.allow, "one.io"));
	assert_false(allow_names(w.allow, "all.io"));
	assert_false(allow_names(w.allow, "other.io"));
	assert_false(allow_names(w.allow, "cred.io"));
	stop(&w);
}

static void defaults(void **state)
{
	static const struct question open[] = {
		{"any.io", "", "x"},
		{"any.io", "a/b", "x"},
	};
	static const struct question closed[] = {
		{"any.io", "", "-"},   {"any.io", "a/b", "-"},
		{"cred.io", "", "x"},  {"cred.io", "a", "x"},
		{"deep.io", "a", "x"}, {"docker.io", "library/alpine", "x"},
	};
	struct world w;

	start(&w, NULL, "", false);
	ask(&w, open, COUNT(open));
	stop(&w);
	start(&w, NULL, "", true);
	ask(&w, closed, COUNT(closed));
	stop(&w);
}

static void source(void **state)
{
	static const struct question q[] = {
		{"src.io", "", "d"},	   {"src.io", "team", "x"},
		{"src.io", "team/a", "x"}, {"src.io", "tea", "-"},
		{"src.io", "other", "-"},  {"x.io", "", "-"},
		{"y.io", "a", "x"},
	};
	struct world w;

	start(&w, "src.io/team", "y.io", false);
	ask(&w, q, COUNT(q));
	stop(&w);
	start(&w, "src.io/team", "", true);
	ask(&w, q, COUNT(q) - 1);
	stop(&w);
}

static void known_hosts(void **state)
{
	static const struct {
		const char *source, *patterns, *expected;
		bool allow_other;
	} t[] = {
		{NULL, "", "cred.io deep.io docker.io ", false},
		{NULL, "", "cred.io deep.io docker.io ", true},
		{NULL, "a.io/x/** *.b.io a.io h+1", "a.io h:1 ", false},
		{"s.io/x", "*.io", "s.io cred.io deep.io docker.io ", false},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		autostrings hosts = {.v = NULL};
		char text[256] = "";
		struct world w;

		start(&w, t[i].source, t[i].patterns, t[i].allow_other);
		assert_int_equal(allow_known_hosts(w.allow, &hosts), 0);
		for (size_t k = 0; k < hosts.len; k++) {
			strncat(text, hosts.v[k], 60);
			strncat(text, " ", 2);
		}
		assert_string_equal(text, t[i].expected);
		stop(&w);
	}
}

static void bad_patterns(void **state)
{
	static const char *const t[] = {
		"",	    "/a",	"alpine",	 "a.io/",
		"a.io//b",  "a.io/A",	"a.io/_a",	 "a.io/**/b",
		"a.io/a**", "a.io/a:1", "*.exa mple.io", "a_*.io",
		"a.io/b/",  "a.io/*@x",
	};
	struct pattern p;
	char longest[PATTERN_MAX + 2];
	const char *reason;

	for (size_t i = 0; i < COUNT(t); i++) {
		reason = NULL;
		if (pattern_parse(t[i], true, &p, &reason) != -EINVAL)
			fail_msg("\"%s\" was accepted", t[i]);
		assert_non_null(reason);
	}
	memset(longest, '*', sizeof(longest));
	longest[PATTERN_MAX + 1] = '\0';
	assert_int_equal(pattern_parse(longest, true, &p, &reason), -EINVAL);
	assert_int_equal(pattern_parse("a.io/b", false, &p, &reason), -EINVAL);
}

static void bad_options(void **state)
{
	struct options o = {.source = NULL};
	struct allow *a;

	assert_int_equal(string_list_add(&o.allow, "a.io/B"), 0);
	capture_begin();
	assert_int_equal(allow_new(&o, NULL, &a), -EINVAL);
	assert_says(capture_end(), "allow=a.io/B");
	options_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns),	cmocka_unit_test(defaults),
		cmocka_unit_test(source),	cmocka_unit_test(known_hosts),
		cmocka_unit_test(bad_patterns), cmocka_unit_test(bad_options),
	};
	int r;

	fixture_start();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
