/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/pager.h"

#include "scripted.h"

#include <errno.h>

#include "registry/catalog.h"
#include "registry/host.h"
#include "util/metric.h"

enum mode {
	ONE_PAGE,
	NULL_LIST,
	NO_LIST,
	STRANGE,   /* nulls, digests, numbers, doubles */
	LINKS,	   /* three pages by Link, the last without */
	ABSOLUTE,  /* Link with the wrong scheme and host, this very list */
	EVIL_LINK, /* Link to another host's something else */
	RING,	   /* Link to itself */
	LONG_RING, /* a, b, a, b ... */
	SAME_PAGE, /* ever new links to the same page */
	FULL,	   /* exactly n and no Link: three pages by last= */
	FULL_ALL,  /* exactly n, whatever is asked */
	SMALL_N,   /* 400 unless n <= 100 */
	NO_N,	   /* 405 unless no n at all */
	BROKEN,	   /* no JSON */
	HTML,
	WRONG_TYPE, /* tags is a string */
	TROUBLE,
	UNKNOWN,
	REFUSED,
	HTML_404,
};
static enum mode mode;
static int refusal;
static bool well_again;

/* k names "n<from>".. into a static list. */
static const char *names(unsigned from, unsigned k)
{
	static char text[4][32768];
	static unsigned next;
	char *s = text[next++ % COUNT(text)];
	size_t n = 0;

	for (unsigned i = 0; i < k; i++)
		n += (size_t)snprintf(s + n, sizeof(text[0]) - n, "%s\"n%05u\"",
				      i ? "," : "", from + i);
	return s;
}

static void list(const struct request *q, struct reply *p, const char *inside)
{
	say_made(p, 200, "{\"name\":\"a/b\",\"%s\":%s}",
		 strstr(q->target, "_catalog") ? "repositories" : "tags",
		 inside);
}

static void array(const struct request *q, struct reply *p, const char *inside)
{
	static char text[40000];

	snprintf(text, sizeof(text), "[%s]", inside);
	list(q, p, text);
}

static void by_last(const struct request *q, struct reply *p, unsigned n)
{
	const char *last = strstr(q->target, "last=n");
	unsigned from = last ? (unsigned)strtoul(last + 6, NULL, 10) + 1 : 0;
	unsigned all = n * 2 + 3;

	array(q, p, names(from, from + n > all ? all - from : n));
}

/* Pages with links, good and bad. */
static bool answer_linked(struct scripted *s, const struct request *q,
			  struct reply *p)
{
	struct client *c = s->arg;

	switch ((int)mode) {
	case LINKS:
		if (strstr(q->target, "x=2"))
			array(q, p, "\"e\"");
		else if (strstr(q->target, "x=1")) {
			add_head(p,
				 "Link: <%s>; rel=\"prev\", </v2/a/b/tags/"
				 "list?x=2>; rel=next",
				 q->target);
			array(q, p, "\"c\",\"d\"");
		} else {
			add_head(p, "Link: </v2/a/b/tags/list?x=1>; "
				    "rel=\"next\"");
			array(q, p, "\"a\",\"b\"");
		}
		break;
	case ABSOLUTE:
		if (!strstr(q->target, "x=1"))
			add_head(p, "Link: <https://inner:5000/v2/a/b/tags/"
				    "list?x=1>; rel=\"next\"");
		array(q, p, strstr(q->target, "x=1") ? "\"b\"" : "\"a\"");
		break;
	case EVIL_LINK:
		add_head(p, "Link: <%s/v2/steal>; rel=\"next\"",
			 c->other.origin);
		array(q, p, "\"a\"");
		break;
	case RING:
		add_head(p, "Link: <%s>; rel=\"next\"", q->target);
		array(q, p, q->nth == 1 ? "\"a\"" : "\"b\"");
		break;
	case LONG_RING:
		add_head(p, "Link: </v2/a/b/tags/list?x=%d>; rel=\"next\"",
			 (int)(q->nth % 2));
		array(q, p, q->nth % 2 ? "\"a\"" : "\"b\"");
		break;
	case SAME_PAGE:
		add_head(p, "Link: </v2/a/b/tags/list?x=%u>; rel=\"next\"",
			 q->nth);
		array(q, p, "\"a\",\"b\"");
		break;
	default:
		return false;
	}
	return true;
}

/* Pages of a number that was asked for. */
static bool answer_counted(struct scripted *s, const struct request *q,
			   struct reply *p)
{
	bool has_n = strstr(q->target, "n=1");

	switch ((int)mode) {
	case FULL:
		by_last(q, p, 1000);
		break;
	case FULL_ALL:
		array(q, p, names(0, 1000));
		break;
	case SMALL_N:
		if (strstr(q->target, "n=1000"))
			refuse(p, 400, "PAGINATION_NUMBER_INVALID");
		else
			by_last(q, p, 100);
		break;
	case NO_N:
		if (has_n)
			refuse(p, 405, "UNSUPPORTED");
		else
			array(q, p, "\"a\"");
		break;
	default:
		return false;
	}
	return true;
}

/* A single page, or none. */
static bool answer_single(struct scripted *s, const struct request *q,
			  struct reply *p)
{
	switch ((int)mode) {
	case ONE_PAGE:
		array(q, p, "\"a\",\"b\"");
		break;
	case NULL_LIST:
		list(q, p, "null");
		break;
	case NO_LIST:
		say(p, 200, "{}");
		break;
	case STRANGE:
		array(q, p,
		      "null,\"a\",\"sha256:abc\",7,\"a\",\"../x\",\"B C\","
		      "\"\",\"a/\",\"b\",[\"c\"]");
		break;
	case BROKEN:
		say(p, 200, "{\"tags\":[\"a\"");
		break;
	case HTML:
		add_head(p, "Content-Type: text/html");
		say(p, 200, "<html>please log in</html>");
		break;
	case WRONG_TYPE:
		list(q, p, "\"a\"");
		break;
	case TROUBLE:
		if (well_again)
			array(q, p, "\"a\"");
		else
			refuse(p, 503, "UNAVAILABLE");
		break;
	case UNKNOWN:
		refuse(p, 404, "NAME_UNKNOWN");
		break;
	case REFUSED:
		refuse(p, refusal, "DENIED");
		break;
	case HTML_404:
		say(p, 404, "<html>");
		break;
	default:
		return false;
	}
	return true;
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	if (strcmp(q->target, "/v2/") == 0)
		say(p, 200, "{}");
	else if (!answer_linked(s, q, p) && !answer_counted(s, q, p) &&
		 !answer_single(s, q, p))
		abort();
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	mode = ONE_PAGE;
	well_again = false;
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

static int drain(struct client *c, struct pager *p, struct string_list *all)
{
	bool more = true;
	int r = 0;

	for (int i = 0; i < 50 && more && r == 0; i++)
		r = pager_next(p, &c->w, all, &more);
	return r < 0 ? r : more ? -ELOOP : 0;
}

static int tags(struct client *c, struct string_list *all)
{
	struct pager *p;
	int r;

	assert_int_equal(pager_open_tags(c->r, "a/b", &p), 0);
	r = drain(c, p, all);
	pager_close(p);
	return r;
}

static void test_tags(void **state)
{
	static const struct {
		enum mode mode;
		int result;
		const char *names; /* joined, or NULL: `count` of them */
		size_t count;
		unsigned asked;
	} rows[] = {
		{ONE_PAGE, 0, "a b ", 0, 1},	{NULL_LIST, 0, "", 0, 1},
		{NO_LIST, 0, "", 0, 1},		{STRANGE, 0, "a b ", 0, 1},
		{LINKS, 0, "a b c d e ", 0, 3}, {ABSOLUTE, 0, "a b ", 0, 2},
		{EVIL_LINK, -EIO, "", 0, 1},	{RING, 0, "a b ", 0, 2},
		{LONG_RING, 0, "a b a ", 0, 3}, {SAME_PAGE, 0, "a b ", 0, 2},
		{FULL, 0, NULL, 2003, 3},	{FULL_ALL, 0, NULL, 1000, 2},
		{SMALL_N, 0, NULL, 203, 4},	{NO_N, 0, "a ", 0, 3},
		{BROKEN, -EIO, "", 0, 1},	{HTML, -EIO, "", 0, 1},
		{WRONG_TYPE, -EIO, "", 0, 1},	{UNKNOWN, -ENOENT, "", 0, 1},
		{HTML_404, -EIO, "", 0, 1},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct string_list all = {.v = NULL};
		char joined[256] = "";
		struct client *c;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		assert_int_equal(tags(c, &all), rows[i].result);
		assert_int_equal(asked(&c->s, "/tags/list"), rows[i].asked);
		assert_int_equal(c->other.asked, 0);
		for (size_t k = 0; k < all.len && k < 20; k++) {
			size_t n = strlen(joined);

			snprintf(joined + n, sizeof(joined) - n, "%s ",
				 all.v[k]);
		}
		if (rows[i].names)
			assert_string_equal(joined, rows[i].names);
		else
			assert_int_equal(all.len, rows[i].count);
		string_list_done(&all);
		teardown(state);
	}
}

static void test_hidden(void **state)
{
	struct client *c = *state;
	struct string_list all = {.v = NULL};
	int64_t before = metric_get(METRIC_NAMES_HIDDEN);

	mode = STRANGE;
	assert_int_equal(tags(c, &all), 0);
	assert_int_equal(metric_get(METRIC_NAMES_HIDDEN) - before, 5);
	string_list_done(&all);
}

/* After a failure the same page is asked for again. */
static void test_again(void **state)
{
	struct client *c = *state;
	struct string_list all = {.v = NULL};
	struct pager *p;
	bool more = true;

	mode = TROUBLE;
	assert_int_equal(pager_open_tags(c->r, "a/b", &p), 0);
	assert_int_equal(pager_next(p, &c->w, &all, &more), -EIO);
	assert_true(more);
	well_again = true;
	assert_int_equal(pager_next(p, &c->w, &all, &more), 0);
	assert_false(more);
	assert_int_equal(all.len, 1);
	/* At the end it stays. */
	assert_int_equal(pager_next(p, &c->w, &all, &more), 0);
	assert_int_equal(all.len, 1);
	pager_close(p);
	pager_close(NULL);
	string_list_done(&all);
	assert_int_equal(pager_open_tags(c->r, "UPPER", &p), -EINVAL);
}

static void test_catalog(void **state)
{
	struct client *c = *state;
	struct string_list all = {.v = NULL};
	struct pager *p;

	assert_ptr_equal(catalog_find(c->r), &catalog_v2);
	assert_int_equal(pager_open_catalog(c->r, &p), 0);
	assert_int_equal(c->s.asked, 0);
	assert_int_equal(drain(c, p, &all), 0);
	assert_int_equal(all.len, 2);
	assert_int_equal(registry_catalog(c->r), SUPPORT_YES);
	pager_close(p);
	string_list_done(&all);
	assert_int_equal(asked(&c->s, "GET /v2/_catalog?n=1000 "), 1);
}

static void test_refused_catalog(void **state)
{
	static const struct {
		enum mode mode;
		int status, result;
		bool remembered;
	} rows[] = {
		{REFUSED, 401, -EOPNOTSUPP, true},
		{REFUSED, 403, -EOPNOTSUPP, true},
		{REFUSED, 404, -EOPNOTSUPP, true},
		{REFUSED, 405, -EOPNOTSUPP, true},
		{REFUSED, 503, -EIO, false},
		{HTML_404, 404, -EIO, false},
		{BROKEN, 200, -EIO, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct string_list all = {.v = NULL};
		struct pager *p;
		struct client *c;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		refusal = rows[i].status;
		assert_int_equal(pager_open_catalog(c->r, &p), 0);
		assert_int_equal(drain(c, p, &all), rows[i].result);
		pager_close(p);
		assert_true(fault_log_count(c->faults) > 0);
		assert_int_equal(registry_catalog(c->r),
				 rows[i].remembered ? SUPPORT_NO
						    : SUPPORT_UNKNOWN);
		if (rows[i].remembered) {
			assert_int_equal(pager_open_catalog(c->r, &p),
					 -EOPNOTSUPP);
			/* Not for ever. */
			c->r->catalog_until_ms = 0;
			assert_int_equal(pager_open_catalog(c->r, &p), 0);
			pager_close(p);
		}
		string_list_done(&all);
		teardown(state);
	}
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags),
		WITH(test_hidden),
		WITH(test_again),
		WITH(test_catalog),
		cmocka_unit_test(test_refused_catalog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
