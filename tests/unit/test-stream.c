/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/fetch.h"

#include "scripted.h"

#include <errno.h>

#include "registry/host.h"

#define MIB ((size_t)1 << 20)
#define SIZE (3 * MIB)

/* How the blob is served; each does what it says at most `times` times, then
 * all is well. */
enum blob_mode {
	GOOD,
	IGNORES_RANGE,
	WRONG_FIRST,
	WRONG_LAST,
	WRONG_TOTAL,
	UNKNOWN_TOTAL,
	NO_CONTENT_RANGE,
	TWO_CONTENT_RANGES,
	MULTIPART,
	BAD_UNIT,
	SHORT_LENGTH,
	LONG_LENGTH,
	EXTRA_BYTES,
	GZIP,
	RANGE_416,
	WHOLE_LIES, /* nothing is right, not even without a range */
	CUT,
	CUT_NO_LENGTH,
	CHUNKED,
	ERROR_503,
	MISSING,
	HTML_404,
	BARE_404,
	TEXT_404,
	DENIED,
	HEAD_405,
	REDIRECT,      /* to the other server */
	REDIRECT_EVIL, /* to another scheme */
	REDIRECT_RING,
	HEAD_HTML,
};
static enum blob_mode mode;
static int times;
static char *blob;
static char digest[DIGEST_TEXT_MAX];
static struct digest blob_digest;
static bool signature_good, abroad_asks;
static unsigned signature;

static bool now_bad(enum blob_mode m)
{
	if (mode != m || times == 0)
		return false;
	times--;
	return true;
}

static void add_content_range(struct reply *p, unsigned long long a,
			      unsigned long long b)
{
	if (now_bad(WRONG_FIRST))
		add_head(p, "Content-Range: bytes %llu-%llu/%zu", a + 1, b,
			 SIZE);
	else if (now_bad(WRONG_LAST))
		add_head(p, "Content-Range: bytes %llu-%llu/%zu", a, b + 1,
			 SIZE);
	else if (now_bad(WRONG_TOTAL))
		add_head(p, "Content-Range: bytes %llu-%llu/%zu", a, b,
			 SIZE + 1);
	else if (now_bad(UNKNOWN_TOTAL))
		add_head(p, "Content-Range: bytes %llu-%llu/*", a, b);
	else if (now_bad(BAD_UNIT))
		add_head(p, "Content-Range: octets %llu-%llu/%zu", a, b, SIZE);
	else if (now_bad(TWO_CONTENT_RANGES)) {
		add_head(p, "Content-Range: bytes %llu-%llu/%zu", a, b, SIZE);
		add_head(p, "Content-Range: bytes 0-9/%zu", SIZE);
	} else if (now_bad(MULTIPART))
		add_head(p, "Content-Type: multipart/byteranges; boundary=x");
	else if (!now_bad(NO_CONTENT_RANGE))
		add_head(p, "Content-Range: bytes %llu-%llu/%zu", a, b, SIZE);
}

/* The blob, properly, as far as `mode` lets it. */
static void serve_blob(const struct request *q, struct reply *p)
{
	unsigned long long a = 0, b = SIZE - 1;
	char value[4096];
	bool range;

	range = head_value(q->head, "Range", value) &&
		sscanf(value, "bytes=%llu-%llu", &a, &b) == 2;
	if (now_bad(IGNORES_RANGE)) {
		range = false;
		a = 0;
		b = SIZE - 1;
	}
	p->status = range ? 206 : 200;
	p->body = blob + a;
	p->len = b - a + 1;
	if (now_bad(WHOLE_LIES)) {
		p->len /= 2;
		if (range)
			add_head(p, "Content-Range: bytes 0-1/2");
		return;
	}
	if (range)
		add_content_range(p, a, b);
	if (range && now_bad(SHORT_LENGTH))
		p->length = (long long)p->len - 1;
	if (range && now_bad(LONG_LENGTH))
		p->length = (long long)p->len + 1;
	if (range && b + 10 < SIZE && now_bad(EXTRA_BYTES)) {
		p->chunked = true;
		p->len += 10;
	}
	if (now_bad(GZIP))
		add_head(p, "Content-Encoding: gzip");
	if (range && now_bad(RANGE_416)) {
		p->headers[0] = '\0';
		add_head(p, "Content-Range: bytes */%zu", SIZE);
		refuse(p, 416, "RANGE_INVALID");
	}
	if (now_bad(CUT)) {
		p->is_cut = true;
		p->cut = p->len / 2;
	}
	if (now_bad(CUT_NO_LENGTH)) {
		p->no_length = p->is_cut = true;
		p->cut = p->len / 2;
	}
	p->chunked |= now_bad(CHUNKED);
}

static void answer_blob(struct scripted *s, const struct request *q,
			struct reply *p)
{
	struct client *c = s->arg;
	bool head = strcmp(q->method, "HEAD") == 0;

	if (now_bad(ERROR_503)) {
		refuse(p, 503, "UNAVAILABLE");
	} else if (now_bad(MISSING)) {
		refuse(p, 404, "BLOB_UNKNOWN");
	} else if (now_bad(HTML_404)) {
		add_head(p, "Content-Type: text/html");
		say(p, 404, "<html>no</html>");
	} else if (now_bad(BARE_404)) {
		say(p, 404, "");
	} else if (now_bad(TEXT_404)) {
		say(p, 404, "404 page not found\n");
	} else if (now_bad(DENIED)) {
		refuse(p, 403, "DENIED");
	} else if (head && now_bad(HEAD_405)) {
		say(p, 405, "");
	} else if (head && now_bad(HEAD_HTML)) {
		add_head(p, "Content-Type: text/html");
		say(p, 200, "<html>");
	} else if (now_bad(REDIRECT)) {
		add_head(p, "Location: %s/store?sig=canary%u", c->other.origin,
			 signature);
		say(p, 307, "");
	} else if (now_bad(REDIRECT_EVIL)) {
		add_head(p, "Location: file:///etc/passwd");
		say(p, 307, "");
	} else if (now_bad(REDIRECT_RING)) {
		add_head(p, "Location: %s", q->target);
		say(p, 302, "");
	} else {
		serve_blob(q, p);
	}
}

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	if (strcmp(q->target, "/v2/") == 0)
		say(p, mode == TEXT_404 ? 404 : 200, "{}");
	else if (strstr(q->target, "/blobs/"))
		answer_blob(s, q, p);
}

/* Storage: knows one signature, and does not like to be shown credentials. */
static void store(struct scripted *s, const struct request *q, struct reply *p)
{
	char want[64];

	snprintf(want, sizeof(want), "/store?sig=canary%u", signature);
	if (strncmp(q->target, "/token", 6) == 0) {
		say(p, 200, "{\"token\":\"abroad\"}");
	} else if (abroad_asks &&
		   !head_is(q, "Authorization", "Bearer abroad")) {
		add_head(p,
			 "WWW-Authenticate: Bearer realm=\"%s/token\","
			 "service=\"abroad\",scope=\"repository:x:pull\"",
			 s->origin);
		refuse(p, 401, "UNAUTHORIZED");
	} else if (!abroad_asks && !head_is(q, "Authorization", NULL)) {
		say(p, 400, "<Error>two ways to authenticate</Error>");
	} else if (!signature_good || strcmp(q->target, want) != 0) {
		say(p, 403, "<Error>expired</Error>");
	} else {
		serve_blob(q, p);
	}
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	mode = GOOD;
	times = 1000;
	signature = 1;
	signature_good = true;
	abroad_asks = false;
	client_start(c, answer, store);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	return 0;
}

static int group_setup(void **state)
{
	blob = malloc(SIZE);
	assert_non_null(blob);
	for (size_t i = 0; i < SIZE; i++)
		blob[i] = (char)(i * 7 + (i >> 8) * 13 + (i >> 16));
	digest_of(HASH_SHA256, blob, SIZE, &blob_digest);
	digest_format(&blob_digest, digest);
	return 0;
}

static int group_teardown(void **state)
{
	free(blob);
	return 0;
}

/* Reads a stream to its end; the bytes must be the blob's.  Bytes or -errno. */
static ssize_t drain(struct client *c, struct fetch *f)
{
	static char buf[100000];
	uint64_t at = fetch_off(f), start = at;
	ssize_t n;

	while ((n = fetch_read(f, buf, sizeof(buf), &c->w)) > 0) {
		assert_memory_equal(buf, blob + at, (size_t)n);
		at += (uint64_t)n;
		assert_int_equal(fetch_off(f), at);
	}
	if (n == 0)
		assert_int_equal(at, fetch_end(f));
	return n < 0 ? n : (ssize_t)(at - start);
}

static ssize_t read_range(struct client *c, uint64_t off, uint64_t len,
			  uint64_t *ret_off)
{
	struct fetch *f;
	ssize_t n;
	int r = fetch_blob(c->r, "a/b", &blob_digest, SIZE, off, len, &c->w,
			   &f);

	if (r < 0)
		return r;
	*ret_off = fetch_off(f);
	n = drain(c, f);
	fetch_close(f);
	return n;
}

static void test_ranges(void **state)
{
	static const struct {
		uint64_t off, len;
		const char *range;
	} rows[] = {
		{0, SIZE, NULL},
		{0, 1, "bytes=0-0"},
		{0, SIZE - 1, "bytes=0-3145726"},
		{1000, 70000, "bytes=1000-70999"},
		{SIZE - 1, 1, "bytes=3145727-3145727"},
	};
	struct client *c = *state;
	char value[4096];
	uint64_t off;

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *head;

		assert_int_equal(read_range(c, rows[i].off, rows[i].len, &off),
				 rows[i].len);
		assert_int_equal(off, rows[i].off);
		head = last_asked(&c->s, "GET");
		if (rows[i].range)
			assert_string_equal(head_value(head, "Range", value),
					    rows[i].range);
		else
			assert_null(head_value(head, "Range", value));
		assert_string_equal(head_value(head, "Accept-Encoding", value),
				    "identity");
	}
	assert_true(fetch_has_ranges(c->r));
	struct fetch *f;
	assert_int_equal(
		fetch_blob(c->r, "a/b", &blob_digest, SIZE, SIZE, 1, &c->w, &f),
		-EINVAL);
	assert_int_equal(
		fetch_blob(c->r, "../x", &blob_digest, SIZE, 0, 1, &c->w, &f),
		-EINVAL);
}

/* N6: a lie is asked for once more, then the host has no ranges. */
static void test_lies(void **state)
{
	static const enum blob_mode lies[] = {
		WRONG_FIRST,  WRONG_LAST,	WRONG_TOTAL, UNKNOWN_TOTAL,
		BAD_UNIT,     NO_CONTENT_RANGE, MULTIPART,   TWO_CONTENT_RANGES,
		SHORT_LENGTH, LONG_LENGTH,	RANGE_416,
	};
	static const uint64_t offs[] = {0, 5000, SIZE - 100};
	uint64_t off;

	for (size_t i = 0; i < COUNT(lies) * COUNT(offs); i++) {
		uint64_t want = offs[i % COUNT(offs)];
		struct client *c;

		setup(state);
		c = *state;
		mode = lies[i / COUNT(offs)];
		times = 1;
		assert_int_equal(read_range(c, want, 100, &off), 100);
		assert_int_equal(off, want);
		assert_true(fetch_has_ranges(c->r));
		times = 1000;
		assert_int_equal(read_range(c, want, 100, &off), SIZE);
		assert_int_equal(off, 0);
		assert_false(fetch_has_ranges(c->r));
		teardown(state);
	}
}

/* A blob that is asked for as a whole gets a second chance as well. */
static void test_whole_lies(void **state)
{
	struct client *c = *state;
	uint64_t off;

	mode = WHOLE_LIES;
	times = 1;
	assert_int_equal(read_range(c, 0, SIZE, &off), SIZE);
	assert_int_equal(asked(&c->s, "GET"), 2);
	times = 1000;
	assert_int_equal(read_range(c, 0, SIZE, &off), -EIO);
	assert_int_equal(asked(&c->s, "GET"), 4);
}

static void test_broken_answers(void **state)
{
	static const struct {
		enum blob_mode mode;
		ssize_t result;
	} rows[] = {
		{WHOLE_LIES, -EIO},    {GZIP, -EIO},
		{EXTRA_BYTES, -EIO},   {ERROR_503, -EIO},
		{MISSING, -ENOENT},    {HTML_404, -EIO},
		{TEXT_404, -EIO},      {BARE_404, -ENOENT},
		{DENIED, -EACCES},     {REDIRECT_EVIL, -EIO},
		{REDIRECT_RING, -EIO},
	};
	uint64_t off;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;
		struct fault f;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		assert_int_equal(read_range(c, 5000, 100, &off),
				 rows[i].result);
		assert_int_equal(
			fault_log_last(c->faults, c->s.host, "a/b/_blobs", &f),
			0);
		assert_int_equal(f.error, -rows[i].result);
		teardown(state);
	}
}

static void test_no_ranges(void **state)
{
	struct client *c = *state;
	uint64_t off;

	mode = IGNORES_RANGE;
	assert_int_equal(read_range(c, 5000, 100, &off), SIZE);
	assert_int_equal(off, 0);
	assert_int_equal(asked(&c->s, "GET"), 1);
	assert_false(fetch_has_ranges(c->r));
	/* Not asked for a part any more. */
	assert_int_equal(read_range(c, 5000, 100, &off), SIZE);
	assert_int_equal(asked(&c->s, "Range: "), 1);
}

static void test_resume(void **state)
{
	static const struct {
		enum blob_mode mode;
		int times;
		ssize_t result;
	} rows[] = {
		{CUT, 1, SIZE},
		/* Half of what is left each time: over 1 MiB of progress
		 * counts anew, three fruitless ones in a row are the end. */
		{CUT, 3, SIZE},
		{CUT, 1000, -EIO},
		{CHUNKED, 1, SIZE},
	};
	uint64_t off;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		times = rows[i].times;
		assert_int_equal(read_range(c, 0, SIZE, &off), rows[i].result);
		if (mode == CUT)
			assert_true(asked(&c->s, "Range: bytes=1572864-") > 0);
		teardown(state);
	}
}

/* A body that ends with its connection: only our own count tells. */
static void test_cut_without_length(void **state)
{
	struct client *c = *state;
	uint64_t off;

	mode = CUT_NO_LENGTH;
	times = 1;
	assert_int_equal(read_range(c, 0, SIZE, &off), SIZE);
	assert_int_equal(asked(&c->s, "GET"), 2);
}

/* Without ranges the way to the middle leads through the beginning. */
static void test_resume_without_ranges(void **state)
{
	struct client *c = *state;
	struct fetch *f;
	char byte;

	mode = CUT;
	times = 1;
	assert_int_equal(
		fetch_blob(c->r, "a/b", &blob_digest, SIZE, 0, SIZE, &c->w, &f),
		0);
	assert_int_equal(fetch_read(f, &byte, 1, &c->w), 1);
	mode = IGNORES_RANGE;
	times = 1000;
	assert_int_equal(drain(c, f), SIZE - 1);
	fetch_close(f);
	assert_int_equal(asked(&c->s, "GET"), 2);
}

static void test_blob_head(void **state)
{
	static const struct {
		enum blob_mode mode;
		int result;
	} rows[] = {
		{GOOD, 0},	   {HEAD_405, 0},	{MISSING, -ENOENT},
		{HTML_404, -EIO},  {BARE_404, -ENOENT}, {TEXT_404, -EIO},
		{DENIED, -EACCES}, {HEAD_HTML, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client *c;
		uint64_t size = 7;
		int r;

		setup(state);
		c = *state;
		mode = rows[i].mode;
		r = fetch_blob_head(c->r, "a/b", &blob_digest, &c->w, &size);
		assert_int_equal(r, rows[i].result);
		assert_int_equal(size, r == 0 ? SIZE : 7);
		teardown(state);
	}
}

static void test_empty_blob(void **state)
{
	struct client *c = *state;
	struct fetch *f;
	char byte;

	mode = HTML_404;
	assert_int_equal(
		fetch_blob(c->r, "a/b", &blob_digest, 0, 0, 0, &c->w, &f),
		-EIO);
	mode = CHUNKED;
	times = 1000;
	/* The blob has bytes, which the descriptor denies. */
	assert_int_equal(
		fetch_blob(c->r, "a/b", &blob_digest, 0, 0, 0, &c->w, &f), 0);
	assert_int_equal(fetch_read(f, &byte, 1, &c->w), 0);
	fetch_close(f);
}

/* The target is remembered, asked without credentials, and asked for anew
 * when its signature is over. */
static void test_redirect(void **state)
{
	struct client *c = *state;
	uint64_t off, size;
	char value[4096];

	mode = REDIRECT;
	assert_int_equal(read_range(c, 0, 100, &off), 100);
	assert_int_equal(read_range(c, 100, 100, &off), 100);
	assert_int_equal(asked(&c->s, "GET"), 1);
	assert_int_equal(asked(&c->other, "GET"), 2);
	assert_string_equal(
		head_value(last_asked(&c->other, "GET"), "Range", value),
		"bytes=100-199");
	assert_int_equal(asked(&c->other, "Authorization"), 0);
	assert_int_equal(asked(&c->other, "X-Canary"), 0);
	signature++;
	assert_int_equal(read_range(c, 200, 100, &off), 100);
	assert_int_equal(asked(&c->s, "GET"), 2);
	/* HEAD has a target of its own. */
	assert_int_equal(
		fetch_blob_head(c->r, "a/b", &blob_digest, &c->w, &size), 0);
	assert_int_equal(size, SIZE);
	assert_int_equal(asked(&c->s, "HEAD"), 1);
	/* Always refused: twice anew, then it is an error, and not EACCES. */
	signature_good = false;
	unsigned before = asked(&c->s, "GET");
	assert_int_equal(read_range(c, 300, 100, &off), -EIO);
	assert_int_equal(asked(&c->s, "GET") - before, 2);
	struct str out = {.len = 0};
	assert_int_equal(fault_log_print(c->faults, &out), 0);
	assert_null(strstr(out.buf, "canary"));
	str_done(&out);
}

static void test_redirect_with_credential(void **state)
{
	struct client *c = *state;
	uint64_t off;

	mode = REDIRECT;
	client_login(c, "am86c2VjcmV0");
	c->r->demand =
		(struct demand){.known = true, .scheme = CHALLENGE_BASIC};
	assert_int_equal(read_range(c, 0, 100, &off), 100);
	assert_int_equal(asked(&c->s, "Basic am86c2VjcmV0"), 1);
	assert_int_equal(asked(&c->other, "Authorization"), 0);
}

/* A second registry behind the redirect gives a token to anybody. */
static void test_redirect_to_registry(void **state)
{
	struct client *c = *state;
	uint64_t off;

	mode = REDIRECT;
	abroad_asks = true;
	client_login(c, "am86c2VjcmV0");
	c->r->demand =
		(struct demand){.known = true, .scheme = CHALLENGE_BASIC};
	assert_int_equal(read_range(c, 0, 100, &off), 100);
	assert_int_equal(asked(&c->other, "Basic"), 0);
	assert_int_equal(asked(&c->other, "GET /token"), 1);
	assert_int_equal(asked(&c->s, "abroad"), 0);
}

static void test_interrupted(void **state)
{
	struct client *c = *state;
	struct fetch *f;
	struct wait w;
	char buf[100];

	assert_int_equal(
		fetch_blob(c->r, "a/b", &blob_digest, SIZE, 0, SIZE, &c->w, &f),
		0);
	wait_init(&w, 0, 0);
	/* Out of patience is not out of order. */
	for (int i = 0; i < 50; i++) {
		ssize_t n = fetch_read(f, buf, 0, &w);

		assert_int_equal(n, 0);
	}
	assert_int_equal(drain(c, f), SIZE);
	fetch_close(f);
	fetch_close(NULL);
	assert_int_equal(slots_used(&c->r->lanes->fetches), 0);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_ranges),
		cmocka_unit_test(test_lies),
		WITH(test_whole_lies),
		cmocka_unit_test(test_broken_answers),
		WITH(test_no_ranges),
		cmocka_unit_test(test_resume),
		WITH(test_cut_without_length),
		WITH(test_resume_without_ranges),
		cmocka_unit_test(test_blob_head),
		WITH(test_empty_blob),
		WITH(test_redirect),
		WITH(test_redirect_with_credential),
		WITH(test_redirect_to_registry),
		WITH(test_interrupted),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
