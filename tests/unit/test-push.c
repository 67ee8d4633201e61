/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/out/push.h"

#include "push-fixture.h"

/* --- what works at once --- */

static void test_forms(void **state)
{
	static const struct {
		size_t size;
		bool unknown;
		unsigned patches, puts, ranged, unsized;
	} rows[] = {
		{0, false, 0, 1, 0, 0},
		{0, true, 0, 1, 0, 0},
		{1, false, 0, 1, 0, 0},
		{1, true, 0, 1, 0, 0},
		{MIB - 1, true, 0, 1, 0, 0},
		{MIB, true, 1, 1, 0, 1},
		{4 * MIB, false, 0, 1, 0, 0},
		{4 * MIB, true, 1, 1, 0, 1},
		{4 * MIB + 1, false, 1, 1, 0, 0},
		{6 * MIB + 3, true, 1, 1, 0, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture *f = fixture_new();

		f->size = rows[i].size;
		f->unknown = rows[i].unknown;
		f->s.habits.with_digest = i % 2;
		f->s.habits.absolute = i % 3 == 1;
		f->s.habits.restless = true;
		assert_int_equal(push(f), 0);
		assert_int_equal(f->s.posts, 1);
		assert_int_equal(f->s.heads, 1);
		assert_int_equal(f->s.patches, rows[i].patches);
		assert_int_equal(f->s.puts, rows[i].puts);
		assert_int_equal(f->s.ranged, rows[i].ranged);
		assert_int_equal(f->s.unsized, rows[i].unsized);
		assert_int_equal(f->s.deletes, 0);
		assert_int_equal(f->checks, 1);
		assert_int_equal(fault_log_count(f->c.faults), 0);
		fixture_free(f);
	}
}

static void test_small_pieces(void **state)
{
	struct fixture *f = *state;

	f->size = 3 * MIB + 11;
	f->piece = 4096;
	f->unknown = true;
	assert_int_equal(push(f), 0);
	assert_true(f->progress == f->size);
}

static void test_sha512(void **state)
{
	struct fixture *f = *state;
	const struct wish wish = {.alg = HASH_SHA512, .is_absent = true};
	enum push_result result;

	f->size = 100;
	assert_int_equal(push_as(f, &wish, &result), 0);
	assert_true(str_prefix(f->s.blobs[0], "sha512:"));
	assert_int_equal(push_asked(&f->s, "digest-algorithm=sha512"), 1);
	assert_int_equal(f->s.heads, 0);
	/* Stored by another name: that is not what was asked for. */
	f->s.stored = 0;
	f->s.habits.store_sha256 = true;
	assert_int_equal(push_as(f, &wish, &result), -EIO);
	assert_non_null(strstr(errors(f), "another digest"));
}

static void test_present(void **state)
{
	struct fixture *f = *state;
	enum push_result result = PUSH_UPLOADED;
	const struct wish plain = {.alg = HASH_SHA256};
	const struct wish nothing = {.alg = HASH_SHA256, .no_source = true};

	f->size = 10;
	assert_int_equal(push_as(f, &nothing, &result), -ENOENT);
	assert_int_equal(f->s.posts, 0);
	assert_int_equal(fault_log_count(f->c.faults), 0);
	assert_int_equal(push(f), 0);
	assert_int_equal(push_as(f, &plain, &result), 0);
	assert_int_equal(result, PUSH_PRESENT);
	assert_int_equal(push_as(f, &nothing, &result), 0);
	assert_int_equal(result, PUSH_PRESENT);
	assert_int_equal(f->s.posts, 1);
	/* A redirect to nobody. */
	f->s.stored = 0;
	f->s.rules[0] =
		(struct rule){.method = "HEAD",
			      .accident = SAY,
			      .status = 307,
			      .header = "Location: http://127.0.0.2:9/storage"};
	assert_int_equal(push_as(f, &nothing, &result), -EIO);
	assert_int_equal(f->s.posts, 1);
}

/* What HEAD is redirected to may be the storage, or a page to log in. */
static void test_present_elsewhere(void **state)
{
	static const struct {
		const char *what;
		bool names_it, no_source;
		int status;
		const char *header, *body;
		int result;
		enum push_result how;
	} rows[] = {
		{"named", true, true, 500, NULL, "", 0, PUSH_PRESENT},
		{"a byte", false, false, 206, "Content-Range: bytes 0-0/10",
		 "x", 0, PUSH_PRESENT},
		{"no source", false, true, 206, "Content-Range: bytes 0-0/10",
		 "x", 0, PUSH_PRESENT},
		{"all", false, false, 200,
		 "Content-Type: application/octet-stream", "0123456789", 0,
		 PUSH_PRESENT},
		{"page", false, false, 200, HTML, "0123456789", 0,
		 PUSH_UPLOADED},
		{"page, no source", false, true, 200, HTML, "0123456789", -EIO,
		 PUSH_UPLOADED},
		{"other total", false, false, 206,
		 "Content-Range: bytes 0-0/11", "x", 0, PUSH_UPLOADED},
		{"no range", false, false, 206, NULL, "x", 0, PUSH_UPLOADED},
		{"other size", false, false, 200, NULL, "012345678", 0,
		 PUSH_UPLOADED},
		{"gone", false, false, 404, NULL, "", 0, PUSH_UPLOADED},
		{"refused", false, false, 403, HTML, "no", 0, PUSH_UPLOADED},
	};
	char header[512], digest[DIGEST_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct push_server *other = calloc(1, sizeof(*other));
		struct fixture *f = fixture_new();
		const struct wish wish = {.no_source = rows[i].no_source,
					  .alg = HASH_SHA256};
		enum push_result how = PUSH_UPLOADED;
		struct digest d;
		int r;

		assert_non_null(other);
		push_server_init(other);
		f->size = 10;
		digest_of(HASH_SHA256, bytes, f->size, &d);
		digest_format(&d, digest);
		snprintf(header, sizeof(header), "Location: http://%s/x%s%s",
			 other->host,
			 rows[i].names_it ? "\r\nDocker-Content-Digest: " : "",
			 rows[i].names_it ? digest : "");
		f->s.rules[0] = (struct rule){.method = "HEAD",
					      .accident = SAY,
					      .status = 302,
					      .header = header};
		f->s.rules[1] = (struct rule){.method = "GET",
					      .accident = SAY,
					      .status = 302,
					      .header = header};
		other->rules[0] = (struct rule){.method = "GET",
						.accident = BARE,
						.status = rows[i].status,
						.header = rows[i].header,
						.code = rows[i].body};
		r = push_as(f, &wish, &how);
		if (r != rows[i].result || how != rows[i].how)
			fail_msg("%s: %d, %d", rows[i].what, r, how);
		assert_int_equal(f->s.stored, r == 0 && how == PUSH_UPLOADED);
		assert_int_equal(push_asked(other, "Range: bytes=0-0"),
				 !rows[i].names_it);
		fixture_free(f);
		push_server_done(other);
		free(other);
	}
}

/* Only 201, or our digest, says that it is committed; else it is asked for. */
static void test_commit_answers(void **state)
{
	static const struct {
		int status;
		bool with_digest;
		unsigned heads;
	} rows[] = {
		{201, false, 1}, {200, true, 1},  {204, true, 1},
		{200, false, 2}, {202, false, 2},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture *f = fixture_new();

		f->size = 1000;
		f->s.habits.with_digest = rows[i].with_digest;
		f->s.rules[0] = (struct rule){.method = "PUT",
					      .accident = LIE,
					      .status = rows[i].status};
		assert_int_equal(push(f), 0);
		assert_int_equal(f->s.heads, rows[i].heads);
		fixture_free(f);
	}
}

static void test_mount(void **state)
{
	static const struct {
		int status;
		bool no_source;
		int result;
		enum push_result how;
		unsigned posts, deletes;
	} rows[] = {
		{201, false, 0, PUSH_MOUNTED, 1, 0},
		{201, true, 0, PUSH_MOUNTED, 1, 0},
		{202, false, 0, PUSH_UPLOADED, 1, 0},
		{202, true, -ENOENT, PUSH_UPLOADED, 1, 1},
		{404, false, 0, PUSH_UPLOADED, 2, 0},
		{404, true, -ENOENT, PUSH_UPLOADED, 1, 0},
		{401, false, 0, PUSH_UPLOADED, 2, 0},
		{405, false, 0, PUSH_UPLOADED, 2, 0},
		{500, false, 0, PUSH_UPLOADED, 3, 0}, /* tried twice */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture *f = fixture_new();
		const struct wish wish = {.alg = HASH_SHA256,
					  .no_source = rows[i].no_source,
					  .from = "other/lib"};
		enum push_result result = PUSH_PRESENT;

		f->size = 1000;
		f->s.habits.mount = rows[i].status;
		assert_int_equal(push_as(f, &wish, &result), rows[i].result);
		if (rows[i].result == 0)
			assert_int_equal(result, rows[i].how);
		assert_int_equal(f->s.posts, rows[i].posts);
		assert_int_equal(f->s.deletes, rows[i].deletes);
		assert_int_equal(f->s.stored,
				 rows[i].result == 0 &&
					 rows[i].how == PUSH_UPLOADED);
		assert_true(push_asked(&f->s, "from=other%2Flib") >= 1);
		fixture_free(f);
	}
}

/* A mount answers both questions; once refused, HEAD saves its session. */
static void test_mount_goes_first(void **state)
{
	const struct wish wish = {.alg = HASH_SHA256, .from = "other/lib"};
	struct fixture *f = *state;
	enum push_result result = PUSH_UPLOADED;

	f->size = 1000;
	f->s.habits.mount = 201;
	assert_int_equal(push_as(f, &wish, &result), 0);
	assert_int_equal(result, PUSH_MOUNTED);
	assert_int_equal(f->s.heads, 0);
	assert_int_equal(push(f), 0);
	assert_int_equal(f->s.heads, 1);
	/* It is there, and yet a session was opened. */
	f->s.habits.mount = 202;
	assert_int_equal(push_as(f, &wish, &result), 0);
	assert_int_equal(result, PUSH_PRESENT);
	assert_int_equal(f->s.posts, 3);
	assert_int_equal(f->s.deletes, 1);
	assert_int_equal(push_as(f, &wish, &result), 0);
	assert_int_equal(result, PUSH_PRESENT);
	assert_int_equal(f->s.posts, 3);
	assert_int_equal(f->s.heads, 3);
}

static void test_outside(void **state)
{
	struct fixture *f = *state;

	f->size = 6 * MIB;
	f->s.habits.outside = true;
	f->s.habits.restless = true;
	f->s.habits.range_style = "";
	assert_int_equal(push(f), 0);
	assert_int_equal(push_asked(&f->s, "PATCH /elsewhere/uploads/"), 1);
}

static void test_source_fails(void **state)
{
	static const struct {
		size_t size;
		bool unknown, interrupts;
		size_t fails_at;
		int check[2];
		struct rule rule;
		int result;
		unsigned checks;
	} rows[] = {
		{6 * MIB,
		 true,
		 false,
		 3 * MIB,
		 {0, 0},
		 {.method = ""},
		 -ESTALE,
		 0},
		{3 * MIB,
		 false,
		 false,
		 MIB,
		 {0, 0},
		 {.method = ""},
		 -ESTALE,
		 0},
		{6 * MIB, true, true, 0, {0, 0}, {.method = ""}, -EINTR, 0},
		{6 * MIB,
		 true,
		 false,
		 0,
		 {-EBADMSG, 0},
		 {.method = ""},
		 -EBADMSG,
		 1},
		{6 * MIB,
		 false,
		 false,
		 0,
		 {-EBADMSG, 0},
		 {.method = ""},
		 -EBADMSG,
		 1},
		{1000,
		 false,
		 false,
		 0,
		 {-EBADMSG, 0},
		 {.method = ""},
		 -EBADMSG,
		 1},
		{0,
		 false,
		 false,
		 0,
		 {-EBADMSG, 0},
		 {.method = ""},
		 -EBADMSG,
		 1},
		/* The registry was right about the digest. */
		{1000,
		 false,
		 false,
		 0,
		 {0, -EBADMSG},
		 SAYS("PUT", 400, "DIGEST_INVALID", 1),
		 -EBADMSG,
		 2},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture *f = fixture_new();

		f->size = rows[i].size;
		f->unknown = rows[i].unknown;
		f->interrupts = rows[i].interrupts;
		f->fails_at = rows[i].fails_at;
		memcpy(f->check_results, rows[i].check, sizeof(rows[i].check));
		f->s.rules[0] = rows[i].rule;
		assert_int_equal(push(f), rows[i].result);
		assert_int_equal(f->checks, rows[i].checks);
		assert_int_equal(f->s.stored, 0);
		assert_int_equal(f->s.deletes, 1);
		assert_int_equal(f->sessions >= 1, 1);
		assert_int_equal(fault_log_count(f->c.faults), 0);
		fixture_free(f);
	}
}

static void test_source_shrinks(void **state)
{
	struct fixture *f = *state;

	f->size = 1000;
	f->claims = 2000;
	assert_int_equal(push(f), -EIO);
	assert_non_null(strstr(errors(f), "ends too early"));
	assert_int_equal(f->s.deletes, 1);
}

/* Patience is for the lack of progress, not for the whole. */
static void test_patience(void **state)
{
	struct fixture *f = *state;

	f->size = 2 * MIB;
	f->unknown = true;
	f->piece = 128 * KIB;
	f->pause_ms = 20;
	config_of(f->r)->times.commit_budget = 200;
	wait_init(&f->c.w, 100, WAIT_CANCELLABLE);
	assert_int_equal(push(f), 0);
}

static void test_dead_host(void **state)
{
	struct fixture *f = *state;
	struct push_server gone;
	char host[32];

	push_server_init(&gone);
	memcpy(host, gone.host, sizeof(host));
	push_server_done(&gone);
	assert_int_equal(registries_get(f->c.all, host, &f->r), 0);
	f->size = 10;
	assert_int_equal(push(f), -ECONNREFUSED);
	assert_int_equal(fault_log_count(f->c.faults), 1);
}

/* --- who we are --- */

static void login(struct fixture *f)
{
	char text[256];

	snprintf(text, sizeof(text), "\"%s\":{\"auth\":\"dXNlcjpzZWNyZXQ=\"}",
		 f->s.host);
	client_auths(&f->c, text);
	dockerauth_refresh(f->c.auth);
}

static void test_token_ends(void **state)
{
	struct fixture *f = *state;
	char challenge[256];

	snprintf(challenge, sizeof(challenge),
		 "WWW-Authenticate: Bearer realm=\"http://%s/token\","
		 "service=\"x\",scope=\"repository:a/b:pull,push\"",
		 f->s.host);
	login(f);
	f->size = 6 * MIB;
	f->s.rules[0] = (struct rule){.method = "PATCH",
				      .accident = SAY,
				      .status = 401,
				      .header = challenge};
	assert_int_equal(push(f), 0);
	assert_int_equal(f->s.posts, 1);
	assert_int_equal(push_asked(&f->s, "GET /token?"), 1);
	assert_true(push_asked(&f->s, "Bearer t1") >= 2);
	/* For good. */
	f->s.stored = 0;
	f->s.rules[0] = (struct rule){.method = "PATCH",
				      .accident = SAY,
				      .status = 401,
				      .header = challenge,
				      .times = 99};
	assert_int_equal(push(f), -EACCES);
	assert_true(f->s.patches < 8);
	assert_int_equal(f->s.deletes, 1);
}

static struct allow *allow_only(struct fixture *f, const char *host,
				const char *also)
{
	struct options o = {.timeout_s = 20};
	struct allow *ret;

	assert_int_equal(string_list_add(&o.allow, host), 0);
	if (also)
		assert_int_equal(string_list_add(&o.allow, also), 0);
	assert_int_equal(allow_new(&o, f->c.auth, &ret), 0);
	string_list_done(&o.allow);
	config_of(f->r)->allow = ret;
	return ret;
}

/* A session elsewhere gets nothing; if that host was named by who mounts, it
 * gets the bytes, and no secret. */
static void test_other_host(void **state)
{
	struct fixture *f = *state;
	struct push_server *other = calloc(1, sizeof(*other));
	enum push_result result;
	struct allow *allow;
	char url[128];

	assert_non_null(other);
	push_server_init(other);
	other->opened = 4;
	for (unsigned i = 0; i < other->opened; i++)
		other->sessions[i].open = true;
	login(f);
	f->s.rules[0] =
		(struct rule){.method = "GET",
			      .accident = SAY,
			      .status = 401,
			      .header = "WWW-Authenticate: Basic realm=\"x\""};
	assert_true(asprintf(&f->s.elsewhere, "http://%s", other->host) > 0);
	f->size = 6 * MIB;
	assert_int_equal(push(f), -EIO);
	assert_non_null(strstr(errors(f), "on another host"));
	allow = allow_only(f, f->s.host, NULL);
	assert_int_equal(push(f), -EIO);
	config_of(f->r)->allow = NULL;
	allow_free(allow);
	/* Nor what was left by another life. */
	snprintf(url, sizeof(url), "%s/v2/a/b/blobs/uploads/s0",
		 f->s.elsewhere);
	push_cancel(f->r, "a/b", url, &f->c.w);
	assert_int_equal(other->asked, 0);
	allow = allow_only(f, f->s.host, other->host);
	f->s.problem[0] = '\0';
	assert_int_equal(
		push_as(f, &(struct wish){.alg = HASH_SHA256}, &result), 0);
	config_of(f->r)->allow = NULL;
	allow_free(allow);
	assert_int_equal(other->stored, 1);
	assert_true(push_asked(&f->s, "Authorization: Basic") >= 2);
	assert_int_equal(push_asked(other, "Authorization"), 0);
	assert_int_equal(push_asked(other, "X-Canary"), 0);
	push_server_done(other);
	free(other);
}

static void test_bad_location(void **state)
{
	static const char *const origins[] = {
		"ftp://127.0.0.1", "http://user@127.0.0.1", "file://"};

	(void)state;
	for (size_t i = 0; i < COUNT(origins); i++) {
		struct fixture *f = fixture_new();

		f->s.elsewhere = strdup(origins[i]);
		f->size = 10;
		assert_int_equal(push(f), -EIO);
		assert_non_null(strstr(errors(f), "upload location"));
		assert_null(strstr(errors(f), "uploads/s0"));
		assert_int_equal(f->s.posts, 1);
		fixture_free(f);
	}
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	char url[128];

	f->s.opened = 1;
	f->s.sessions[0].open = true;
	snprintf(url, sizeof(url), "http://%s/v2/a/b/blobs/uploads/s0?_state=0",
		 f->s.host);
	push_cancel(f->r, "a/b", url, &f->c.w);
	assert_int_equal(f->s.deletes, 1);
	assert_false(f->s.sessions[0].open);
	/* Not there any more: no news. */
	push_cancel(f->r, "a/b", url, &f->c.w);
	assert_int_equal(fault_log_count(f->c.faults), 0);
}

/* --- many at once --- */

struct one {
	struct fixture *f;
	size_t size;
	int result;
};

static ssize_t one_read(void *arg, void *buf, size_t len, uint64_t off,
			struct wait *w)
{
	struct one *o = arg;

	(void)w;
	if (off >= o->size)
		return 0;
	if (len > o->size - off)
		len = o->size - off;
	memcpy(buf, bytes + off, len);
	return (ssize_t)len;
}

static uint64_t one_size(void *arg)
{
	(void)arg;
	return PUSH_SIZE_UNKNOWN;
}

static void *one_push(void *arg)
{
	struct one *o = arg;
	const struct push_source source = {
		.arg = o, .read = one_read, .size = one_size};
	enum push_result result;
	struct digest d;
	struct wait w;
	const struct push_spec spec = {
		.repository = "a/b", .digest = &d, .source = &source};

	digest_of(HASH_SHA256, bytes, o->size, &d);
	wait_init(&w, 5000, WAIT_CANCELLABLE);
	o->result = push_blob(o->f->r, &spec, &w, &result);
	return NULL;
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	struct one all[6];
	pthread_t threads[COUNT(all)];

	f->s.habits.stream = 400;
	for (size_t i = 0; i < COUNT(all); i++) {
		all[i] = (struct one){.f = f, .size = (i + 1) * 500 * KIB};
		pthread_create(&threads[i], NULL, one_push, &all[i]);
	}
	for (size_t i = 0; i < COUNT(all); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(all[i].result, 0);
	}
	assert_int_equal(f->s.stored, COUNT(all));
	assert_string_equal(f->s.problem, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test_setup_teardown(test_small_pieces, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_sha512, setup, teardown),
		cmocka_unit_test_setup_teardown(test_present, setup, teardown),
		cmocka_unit_test(test_present_elsewhere),
		cmocka_unit_test(test_commit_answers),
		cmocka_unit_test(test_mount),
		cmocka_unit_test_setup_teardown(test_mount_goes_first, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_outside, setup, teardown),
		cmocka_unit_test(test_source_fails),
		cmocka_unit_test_setup_teardown(test_source_shrinks, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_patience, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_host, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_token_ends, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_other_host, setup,
						teardown),
		cmocka_unit_test(test_bad_location),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
