/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/referrers.h"

#include "scripted.h"

#include <errno.h>

#include "oci/manifest.h"
#include "oci/mediatype.h"
#include "registry/host.h"

#define CONFIG                                                                 \
	"{\"mediaType\":\"" MEDIATYPE_OCI_CONFIG "\",\"size\":2,\"digest\":"   \
	"\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c"  \
	"aaff8a\"}"
#define MANIFEST                                                               \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST         \
	"\",\"config\":" CONFIG ",\"layers\":[]}"
#define LIST_HEAD                                                              \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIATYPE_OCI_INDEX            \
	"\",\"manifests\":["
#define LIST_TAIL "]}"
#define INDEX_OF(members) LIST_HEAD members LIST_TAIL
#define CHILD                                                                  \
	"{\"mediaType\":\"" MEDIATYPE_OCI_MANIFEST                             \
	"\",\"size\":712,\"artifactType\":\"a/b\",\"digest\":"                 \
	"\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c"  \
	"aaff8a\"}"

static const char *fallback; /* the index under the tag of referrers */
static int api_status;
static const char *api_body, *api_link;

static void answer_tag(struct reply *p)
{
	if (!fallback) {
		refuse(p, 404, "MANIFEST_UNKNOWN");
		return;
	}
	add_head(p, "Content-Type: " MEDIATYPE_OCI_INDEX);
	say(p, 200, fallback);
}

static void answer_referrers(struct scripted *s, const struct request *q,
			     struct reply *p)
{
	struct client *c = s->arg;

	if (api_status == 303) {
		add_head(p, "Location: %s/web", c->other.origin);
		say(p, 303, "");
		return;
	}
	if (api_status != 200) {
		say(p, api_status, "404 page not found\n");
		return;
	}
	if (api_link && !strchr(q->target, '?'))
		add_head(p, "Link: <%s?%s>; rel=\"next\"", q->target, api_link);
	add_head(p, "Content-Type: " MEDIATYPE_OCI_INDEX);
	say(p, 200, api_body);
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	if (strstr(q->target, "/manifests/sha256-"))
		answer_tag(p);
	else if (strstr(q->target, "/referrers/"))
		answer_referrers(s, q, p);
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

static int count_referrers(struct client *c)
{
	struct descriptor *v = NULL;
	size_t n = 0;
	struct digest subject;
	int r;

	digest_of(HASH_SHA256, "x", 1, &subject);
	r = referrers_fetch(c->r, "a/b", &subject, &c->w, &v, &n);

	if (r < 0)
		return r;
	if (n > 0)
		assert_string_equal(v[0].artifact_type, "a/b");
	referrers_free(v, n);
	return (int)n;
}

static void test_referrers(void **state)
{
	static const struct {
		int status;
		const char *body, *link, *fallback;
		int result;
		enum support api;
	} rows[] = {
		{200, INDEX_OF(CHILD), NULL, NULL, 1, SUPPORT_YES},
		{200, INDEX_OF(""), NULL, INDEX_OF(CHILD), 0, SUPPORT_YES},
		{200, INDEX_OF(CHILD), "page=2", NULL, 2, SUPPORT_YES},
		{200, "<html>", NULL, INDEX_OF(CHILD "," CHILD), 2, SUPPORT_NO},
		{200, MANIFEST, NULL, NULL, 0, SUPPORT_NO},
		{404, NULL, NULL, INDEX_OF(CHILD), 1, SUPPORT_NO},
		{404, NULL, NULL, NULL, 0, SUPPORT_NO},
		{405, NULL, NULL, NULL, 0, SUPPORT_NO},
		{303, NULL, NULL, INDEX_OF(CHILD), 1, SUPPORT_NO},
		{400, NULL, NULL, NULL, 0, SUPPORT_NO},
		/* An index that cannot be used does not say that there are
		 * none. */
		{200, INDEX_OF("{\"digest\":\"sha256:1\"}"), NULL, NULL, -EIO,
		 SUPPORT_UNKNOWN},
		/* Said to be an index, and is none. */
		{404, NULL, NULL, MANIFEST, -EIO, SUPPORT_NO},
		{500, NULL, NULL, INDEX_OF(CHILD), -EIO, SUPPORT_UNKNOWN},
		{429, NULL, NULL, NULL, -ETIMEDOUT, SUPPORT_UNKNOWN},
		{200, "{\"schemaVersion\":2,", NULL, NULL, -EIO,
		 SUPPORT_UNKNOWN},
		{403, NULL, NULL, NULL, -EACCES, SUPPORT_UNKNOWN},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		api_status = rows[i].status;
		api_body = rows[i].body;
		api_link = rows[i].link;
		fallback = rows[i].fallback;
		assert_int_equal(count_referrers(c), rows[i].result);
		assert_int_equal(registry_referrers(c->r), rows[i].api);
		assert_int_equal(c->other.asked, 0);
		/* Known not to be there, it is not asked again. */
		count_referrers(c);
		if (rows[i].api == SUPPORT_NO)
			assert_int_equal(asked(&c->s, "/referrers/"), 1);
		teardown(state);
	}
}

/* More than an image has platforms, on one page; too many are not none. */
static void test_many(void **state)
{
	static const struct {
		size_t n;
		int result;
		enum support api;
	} rows[] = {
		{1001, 1001, SUPPORT_YES},
		{REFERRERS_MAX, REFERRERS_MAX, SUPPORT_YES},
		{REFERRERS_MAX + 1, -EIO, SUPPORT_UNKNOWN},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		autostr body = {.max = MANIFEST_BYTES_MAX};
		struct client *c;

		assert_int_equal(str_add(&body, LIST_HEAD CHILD), 0);
		for (size_t k = 1; k < rows[i].n; k++)
			assert_int_equal(str_add(&body, "," CHILD), 0);
		assert_int_equal(str_add(&body, LIST_TAIL), 0);
		setup(state);
		c = *state;
		api_status = 200;
		api_body = body.buf;
		api_link = fallback = NULL;
		assert_int_equal(count_referrers(c), rows[i].result);
		assert_int_equal(registry_referrers(c->r), rows[i].api);
		teardown(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_referrers),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
