/* SPDX-License-Identifier: Apache-2.0 */
/* How large a blob is, whatever a registry answers to that. */
#include "scripted.h"

#include "registry/fetch.h"

#define DIGEST                                                                 \
	"sha256:"                                                              \
	"00000000000000000000000000000000000000000000000000000000000000aa"

/* Headers but Content-Length, which is `length` unless that is -1. */
struct says {
	int status;
	const char *headers[3];
	long long length;
};

static const struct says *to_head, *to_get; /* set between requests */

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	bool is_head = strcmp(q->method, "HEAD") == 0;
	const struct says *says = is_head ? to_head : to_get;

	add_head(p, "Docker-Distribution-Api-Version: registry/2.0");
	if (strcmp(q->target, "/v2/") == 0) {
		say(p, 200, "{}");
		return;
	}
	p->status = says->status;
	for (size_t i = 0; i < COUNT(says->headers); i++)
		if (says->headers[i])
			add_head(p, "%s", says->headers[i]);
	p->no_length = says->length < 0;
	p->length = says->length;
	if (is_head)
		return;
	assert(strstr(q->head, "Range: bytes=0-0\r\n"));
	p->body = "";
	p->is_cut = true;
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

static int ask(struct client *c, uint64_t *ret)
{
	struct digest d;

	assert_int_equal(digest_parse(DIGEST, &d), 0);
	return fetch_blob_head(c->r, "a/b", &d, &c->w, ret);
}

/* Without a size that can be believed, its first byte is asked for. */
static void by_head(void **state)
{
	static const struct says no = {.status = 404};
	static const struct {
		struct says says;
		int r; /* -ENOENT: that is what GET says */
		uint64_t size;
		unsigned gets;
	} t[] = {
		{{200, {NULL}, 11}, 0, 11, 0},
		{{200, {NULL}, 0}, 0, 0, 0},
		{{200, {"Content-Type: application/octet-stream"}, 5}, 0, 5, 0},
		{{200, {"Content-Type: text/html"}, 11}, -ENOENT, 0, 1},
		{{200, {"Content-Type: TEXT/HTML; charset=x"}, 11},
		 -ENOENT,
		 0,
		 1},
		{{200, {NULL}, -1}, -ENOENT, 0, 1},
		{{204, {NULL}, -1}, -ENOENT, 0, 1},
		{{400, {NULL}, 0}, -ENOENT, 0, 1},
		{{405, {NULL}, 0}, -ENOENT, 0, 1},
		{{501, {NULL}, 0}, -ENOENT, 0, 1},
		{{404, {NULL}, 0}, -ENOENT, 0, 0},
		{{403, {NULL}, 0}, -EACCES, 0, 0},
	};
	struct client *c = *state;

	log_set_level((enum log_level) - 1);
	to_get = &no;
	for (size_t i = 0; i < COUNT(t); i++) {
		unsigned before = asked(&c->s, "GET /v2/a/b");
		uint64_t size = 99;
		int r;

		to_head = &t[i].says;
		r = ask(c, &size);
		if (r != t[i].r || (r == 0 && size != t[i].size) ||
		    (r < 0 && size != 99))
			fail_msg("%zu: %d %llu", i, r,
				 (unsigned long long)size);
		assert_int_equal(asked(&c->s, "GET /v2/a/b") - before,
				 t[i].gets);
	}
}

static void by_first_byte(void **state)
{
	static const struct says no = {.status = 405};
	static const struct {
		struct says says;
		int r;
		uint64_t size;
	} t[] = {
		{{206, {"Content-Range: bytes 0-0/11"}, 1}, 0, 11},
		{{206, {"Content-Range: bytes 0-0/1"}, 1}, 0, 1},
		{{206, {"Content-Range: bytes 0-0/*"}, 1}, -EIO, 0},
		{{206, {"Content-Range: bytes 0-1/11"}, 2}, -EIO, 0},
		{{206, {"Content-Range: bytes 1-1/11"}, 1}, -EIO, 0},
		{{206, {"Content-Range: items 0-0/11"}, 1}, -EIO, 0},
		{{206, {NULL}, 1}, -EIO, 0},
		/* It knows no ranges. */
		{{200, {NULL}, 11}, 0, 11},
		{{200, {NULL}, -1}, -EIO, 0},
		/* Nothing has no first byte. */
		{{416, {"Content-Range: bytes */0"}, 0}, 0, 0},
		{{404, {NULL}, 0}, -ENOENT, 0},
		{{403, {NULL}, 0}, -EACCES, 0},
	};
	struct client *c = *state;

	log_set_level((enum log_level) - 1);
	to_head = &no;
	for (size_t i = 0; i < COUNT(t); i++) {
		uint64_t size = 99;
		int r;

		to_get = &t[i].says;
		r = ask(c, &size);
		if (r != t[i].r || (r == 0 && size != t[i].size))
			fail_msg("%zu: %d %llu", i, r,
				 (unsigned long long)size);
	}
}

/* Of something it is told no size at all. */
static void no_first_byte_of_some(void **state)
{
	static const struct says no = {.status = 405};
	static const struct says full = {416, {"Content-Range: bytes */11"}, 0};
	struct client *c = *state;
	uint64_t size = 99;

	log_set_level((enum log_level) - 1);
	to_head = &no;
	to_get = &full;
	assert_true(ask(c, &size) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(by_head, setup, teardown),
		cmocka_unit_test_setup_teardown(by_first_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(no_first_byte_of_some, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
