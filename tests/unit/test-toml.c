/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "config/toml.h"
#include "util/auto.h"
#include "util/str.h"

static struct {
	unsigned lines[32];
	size_t len;
	char what[128];
} heard;

static void told(void *arg, unsigned line, const char *what)
{
	(void)arg;
	if (heard.len < COUNT(heard.lines))
		heard.lines[heard.len] = line;
	heard.len++;
	snprintf(heard.what, sizeof(heard.what), "%s", what);
}

static struct toml *parse(const char *text)
{
	struct toml *t = NULL;

	memset(&heard, 0, sizeof(heard));
	assert_int_equal(toml_parse(text, strlen(text), told, NULL, &t), 0);
	assert_non_null(t);
	return t;
}

/* The tree as one line, in a form of its own. */
static void print(const struct toml *t, struct str *out)
{
	const char *sep = "";

	switch (t->type) {
	case TOML_STRING:
		str_addf(out, "'%s'", t->text);
		return;
	case TOML_BOOL:
		str_add(out, t->flag ? "yes" : "no");
		return;
	case TOML_INTEGER:
		str_addf(out, "%lld", (long long)t->number);
		return;
	case TOML_OTHER:
	case TOML_BROKEN:
		str_add(out, "?");
		return;
	case TOML_ARRAY:
	case TOML_TABLE:
		break;
	}
	str_addc(out, t->type == TOML_ARRAY ? '[' : '{');
	for (size_t i = 0; i < t->len; i++) {
		if (t->v[i]->type == TOML_BROKEN)
			continue;
		str_add(out, sep);
		sep = " ";
		if (t->type == TOML_TABLE)
			str_addf(out, "%s=", t->v[i]->key);
		print(t->v[i], out);
	}
	str_addc(out, t->type == TOML_ARRAY ? ']' : '}');
}

static const struct {
	const char *text, *tree;
} good[] = {
	{"", "{}"},
	{"\xef\xbb\xbf# only a comment\r\n\r\n", "{}"},
	{"a = 'x'", "{a='x'}"},
	{"a=true\nb = false # no\n", "{a=yes b=no}"},
	{"i = 1_000\nj = -3\nk = +0\nl = 0", "{i=1000 j=-3 k=0 l=0}"},
	{"f = 1.5\nd = 1979-05-27T07:32:00Z\nh = 0x1f\nn = -inf",
	 "{f=? d=? h=? n=?}"},
	{"a = \"t\\t\\\"q\\\" \\\\ \\u00e9\"", "{a='t\t\"q\" \\ \xc3\xa9'}"},
	{"a = 'C:\\x'", "{a='C:\\x'}"},
	{"a = \"\\u0041\\u20AC\\U0001F600\"",
	 "{a='A\xe2\x82\xac\xf0\x9f\x98\x80'}"},
	{"a = \"\\b\\f\\r\\e/\"", "{a='\b\f\r\x1b/'}"},
	{"a = \"\"\"x\\ \t\r\n \n y\"\"\"", "{a='xy'}"},
	{"a = \"\"\"\r\nx\r\ny\"\"\"", "{a='x\ny'}"},
	{"a = \"\"\"\none\n two\"\"\"", "{a='one\n two'}"},
	{"a = \"\"\"one \\\n\n   two\"\"\"", "{a='one two'}"},
	{"a = \"\"\"x\"\"\"\"\"", "{a='x\"\"'}"},
	{"a = '''\r\nx''y'''", "{a='x''y'}"},
	{"a = [ ]\nb = [1, 2,]\nc = [\n 'x', # one\n ['y']\n]",
	 "{a=[] b=[1 2] c=['x' ['y']]}"},
	{"a = {}\nb = { x = 1, y.z = 'q' }", "{a={} b={x=1 y={z='q'}}}"},
	{"a.b.'c.d' = 1\n\"\" = 2", "{a={b={c.d=1}} =2}"},
	{"[t]\na = 1\n[t.u]\nb = 2\n[\"v w\"]\n", "{t={a=1 u={b=2}} v w={}}"},
	{"[t.u]\na = 1\n[t]\nb = 2", "{t={u={a=1} b=2}}"},
	{"[[r]]\na = 1\n[[r.m]]\nx = 1\n[[r.m]]\nx = 2\n[[r]]\na = 2\n",
	 "{r=[{a=1 m=[{x=1} {x=2}]} {a=2}]}"},
	{"[host.\"https://m:5000/v2\"]\n  ca = 'c'\n"
	 "  [host.\"https://m:5000/v2\".header]\n    x-y = ['a']\n",
	 "{host={https://m:5000/v2={ca='c' header={x-y=['a']}}}}"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		autostr tree = {.max = 0};
		struct toml *t = parse(good[i].text);

		print(t, &tree);
		if (heard.len)
			fail_msg("%s: %u %s", good[i].text, heard.lines[0],
				 heard.what);
		assert_string_equal(tree.buf, good[i].tree);
		toml_free(t);
	}
}

/* What is broken is told once, with its line; the rest is used. */
static const struct {
	const char *text;
	unsigned line;
	const char *tree;
} bad[] = {
	{"a = 1\nb\nc = 3", 2, "{a=1 c=3}"},
	{"a = x\nb = 2", 1, "{b=2}"},
	{"a =\nb = 2", 1, "{b=2}"},
	{"= 1\nb = 2", 1, "{b=2}"},
	{"a = 'x\nb = 2", 1, "{b=2}"},
	{"a = \"\\q\"\nb = 2", 1, "{b=2}"},
	{"a = \"\\ud800\"\nb = 2", 1, "{b=2}"},
	{"a = \"\\u0000\"\nb = 2", 1, "{b=2}"},
	{"a = \"\x01\"\nb = 2", 1, "{b=2}"},
	{"a = \"\x7f\"\nb = 2", 1, "{b=2}"},
	{"a = \"\\u12\"\nb = 2", 1, "{b=2}"},
	{"a = \"\\U00110000\"\nb = 2", 1, "{b=2}"},
	{"a = \"\"\"x\\ y\"\"\"\nb = 2", 1, "{b=2}"},
	{"a = \"\"\"x\rz\"\"\"\nb = 2", 1, "{b=2}"},
	{"b = 2\na = \"\\", 2, "{b=2}"},
	{"b = 2\na = \"\\u00", 2, "{b=2}"},
	{"a = {b = x}\nb = 2", 1, "{b=2}"},
	{"\n\na = 1\na = 2", 4, "{a=1}"},
	{"a = 1 2\nb = 2", 1, "{a=1 b=2}"},
	{"a = [1 2]\nb = 2", 1, "{b=2}"},
	{"a = {x = 1\nb = 2", 1, "{b=2}"},
	{"a = 007\nb = 1__0\n", 0, "{a=? b=?}"},
	{"a = '''x\nb = 2", 1, "{b=2}"},
	{"a = [\n\n# x\n", 1, "{}"},
	{"[a]\nb = \"\"\"\n[c]\nd = 1\n", 2, "{a={} c={d=1}}"},
	{"a = 1\n[a]\nb = 2\n[c]\nd = 3", 2, "{a=1 c={d=3}}"},
	{"[a]\nx = 1\n[a]\ny = 2\n[b]", 3, "{a={x=1} b={}}"},
	{"[a\nx = 1\n[b]\ny = 2", 1, "{b={y=2}}"},
	{"[a]\n[[a]]\nx = 1\n", 2, "{a={}}"},
	{"a = [1]\n[[a]]\nx = 1\n", 2, "{a=[1]}"},
	{"[[a]\nx = 1\n", 1, "{}"},
	{"a.b = 1\na.b.c = 2\n", 2, "{a={b=1}}"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		autostr tree = {.max = 0};
		struct toml *t = parse(bad[i].text);

		print(t, &tree);
		if (heard.len != (bad[i].line ? 1 : 0) ||
		    heard.lines[0] != bad[i].line ||
		    strcmp(tree.buf, bad[i].tree) != 0)
			fail_msg("%s: %zu told, line %u (%s), %s", bad[i].text,
				 heard.len, heard.lines[0], heard.what,
				 tree.buf);
		toml_free(t);
	}
}

/* What is written and cannot be read is not as if it were absent. */
static void test_broken_values(void **state)
{
	struct toml *t = parse("a = tru\nb = 1\nb = 2\nc\nd = 1\ne = x\n"
			       "e = 3\nf.g = (\n");

	(void)state;
	assert_int_equal(heard.len, 5);
	assert_true(toml_broken_line(t, "a") && !toml_find(t, "a"));
	assert_true(toml_find(t, "b")->doubtful && !toml_broken_line(t, "b"));
	assert_true(toml_broken_line(t, "c"));
	assert_false(toml_broken_line(t, "d") || toml_find(t, "d")->doubtful);
	assert_true(toml_broken_line(t, "e"));
	assert_int_equal(toml_find(t, "e")->number, 3);
	assert_true(toml_broken_line(toml_find(t, "f"), "g"));
	assert_false(toml_broken_line(t, "f") || toml_broken_line(t, "x"));
	toml_free(t);
}

static void test_lines(void **state)
{
	struct toml *t = parse("a = \"\"\"\n\n\"\"\"\nb = [\n1,\n2]\nc = 1\n"
			       "[d]\n\ne = 1\n");

	(void)state;
	assert_int_equal(toml_find(t, "a")->line, 1);
	assert_int_equal(toml_find(t, "b")->line, 4);
	assert_int_equal(toml_find(t, "c")->line, 7);
	assert_int_equal(toml_find(t, "d")->line, 8);
	assert_int_equal(toml_find(toml_find(t, "d"), "e")->line, 10);
	assert_null(toml_find(t, "x"));
	assert_null(toml_find(toml_find(t, "c"), "x"));
	assert_null(toml_find(NULL, "x"));
	toml_free(t);
}

static char *repeat(const char *s, size_t n, const char *end)
{
	autostr out = {.max = 4 << 20};

	for (size_t i = 0; i < n; i++)
		assert_int_equal(str_add(&out, s), 0);
	assert_int_equal(str_add(&out, end), 0);
	return str_steal(&out);
}

static void test_limits(void **state)
{
	char *text = repeat("[", 100000, "");
	struct toml *t = parse(text);

	(void)state;
	assert_int_equal(heard.len, 1);
	toml_free(t);
	free(text);

	text = repeat("a.", 5000, "a = 1");
	t = parse(text);
	assert_int_equal(heard.len, 1);
	toml_free(t);
	free(text);

	text = repeat("a={", 100, "");
	t = parse(text);
	assert_int_equal(heard.len, 1);
	toml_free(t);
	free(text);

	text = repeat("k", 1025, " = 1\nb = 1");
	t = parse(text);
	assert_int_equal(heard.len, 1);
	assert_int_equal(t->len, 2);
	assert_int_equal(toml_find(t, "b")->number, 1);
	toml_free(t);
	free(text);

	text = repeat("k", 1024, " = 1\nb = 1");
	t = parse(text);
	assert_int_equal(heard.len, 0);
	toml_free(t);
	free(text);

	for (int i = 0; i < 2; i++) {
		autofree char *word = repeat("1", i ? 65 : 66000, "");

		text = str_printf(i ? "a = %s\nb = 1" : "a = '%s'\nb = 1",
				  word);
		t = parse(text);
		assert_int_equal(heard.len, 1);
		assert_null(toml_find(t, "a"));
		assert_int_equal(toml_find(t, "b")->number, 1);
		toml_free(t);
		free(text);
	}

	text = repeat("!\n", 5000, "b = 1");
	t = parse(text);
	assert_int_equal(heard.len, TOML_ERRORS_MAX);
	assert_int_equal(toml_find(t, "b")->number, 1);
	toml_free(t);
	free(text);

	text = repeat("[[a]]\n", TOML_CHILDREN_MAX + 5, "");
	t = parse(text);
	assert_int_equal(toml_find(t, "a")->len, TOML_CHILDREN_MAX);
	toml_free(t);
	free(text);

	text = repeat("#", TOML_BYTES_MAX + 1, "");
	assert_int_equal(toml_parse(text, strlen(text), told, NULL, &t),
			 -EFBIG);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_broken_values),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
