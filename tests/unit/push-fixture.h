/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A registry that takes uploads as it is told to, a source of bytes that
 * remembers what was asked of it, and a push between the two. */
#include "registry/out/push.h"

#include "push-server.h"

#include "registry/host.h"
#include "registry/push_form.h"
#include "util/clock.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define SIZE_TOP (24 * MIB)

#define SAYS(m, s, c, n)                                                       \
	{                                                                      \
		.method = m, .accident = SAY, .status = s, .code = c,          \
		.times = n                                                     \
	}
#define CUTS(m, b, k, n)                                                       \
	{                                                                      \
		.method = m, .accident = CUT, .bytes = b, .keep = k,           \
		.times = n                                                     \
	}

#define PAGE(m, s, h, n)                                                       \
	{                                                                      \
		.method = m, .accident = BARE, .status = s,                    \
		.code = "<html>please log in</html>", .header = h, .times = n  \
	}
#define HTML "Content-Type: text/html; charset=utf-8"

struct fixture {
	struct client c;
	struct push_server s;
	struct registry *r;
	/* The source, and what was seen of it. */
	size_t size, piece, fails_at;
	bool unknown;
	int check_results[2];
	size_t claims; /* as its size */
	unsigned pause_ms;
	unsigned checks, reads, sessions;
	bool session_open;
	uint64_t progress;
	size_t largest_read;
	bool late; /* check came after a commit */
	bool interrupts;
};

static char *bytes; /* SIZE_TOP of them */

static ssize_t source_read(void *arg, void *buf, size_t len, uint64_t off,
			   struct wait *w)
{
	struct fixture *f = arg;

	f->reads++;
	if (f->pause_ms)
		usleep(f->pause_ms * 1000);
	if (len > f->largest_read)
		f->largest_read = len;
	if (f->interrupts && off > 0)
		wait_interrupt(w);
	if (wait_check(w) < 0)
		return wait_check(w);
	if (f->fails_at && off >= f->fails_at)
		return -ESTALE;
	if (off >= f->size)
		return 0;
	if (len > f->size - off)
		len = f->size - off;
	if (f->piece && len > f->piece)
		len = f->piece;
	memcpy(buf, bytes + off, len);
	return (ssize_t)len;
}

static uint64_t source_size(void *arg)
{
	struct fixture *f = arg;

	if (f->unknown)
		return PUSH_SIZE_UNKNOWN;
	return f->claims ? f->claims : f->size;
}

UNUSED static int source_check(void *arg, struct wait *w)
{
	struct fixture *f = arg;

	(void)w;
	f->checks++;
	pthread_mutex_lock(&f->s.lock);
	f->late |= f->s.stored > 0;
	pthread_mutex_unlock(&f->s.lock);
	return f->check_results[f->checks == 1 ? 0 : 1];
}

UNUSED static void source_progress(void *arg, uint64_t sent)
{
	((struct fixture *)arg)->progress = sent;
}

UNUSED static void source_session(void *arg, const char *url)
{
	struct fixture *f = arg;

	f->sessions += url != NULL;
	f->session_open = url != NULL;
	if (url)
		assert_true(str_prefix(url, "http://127.0.0.1:"));
}

UNUSED static void nobody(struct scripted *s, const struct request *q,
			  struct reply *p)
{
	(void)s;
	(void)q;
	say(p, 500, "");
}

static struct registries_config *config_of(struct registry *r)
{
	return (struct registries_config *)(uintptr_t)r->cfg;
}

UNUSED static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	client_start(&f->c, nobody, nobody);
	push_server_init(&f->s);
	assert_int_equal(registries_get(f->c.all, f->s.host, &f->r), 0);
	config_of(f->r)->times.commit_budget = 1000;
	config_of(f->r)->retries = 4;
	wait_init(&f->c.w, 5000, WAIT_CANCELLABLE);
	return f;
}

UNUSED static void fixture_free(struct fixture *f)
{
	client_stop(&f->c);
	push_server_done(&f->s);
	free(f);
}

UNUSED static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

UNUSED static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

UNUSED static int setup_all(void **state)
{
	(void)state;
	bytes = malloc(SIZE_TOP);
	assert_non_null(bytes);
	for (size_t i = 0; i < SIZE_TOP; i++)
		bytes[i] = (char)(i * 7 + (i >> 8) * 13 + (i >> 16));
	return 0;
}

UNUSED static int teardown_all(void **state)
{
	(void)state;
	free(bytes);
	return 0;
}

struct wish {
	enum hash_alg alg;
	bool is_absent, no_source;
	const char *from;
};

UNUSED static int push_as(struct fixture *f, const struct wish *wish,
			  enum push_result *ret)
{
	const struct push_source source = {.arg = f,
					   .read = source_read,
					   .size = source_size,
					   .check = source_check,
					   .progress = source_progress,
					   .session = source_session};
	struct digest d;
	struct push_spec spec = {.repository = "a/b",
				 .digest = &d,
				 .is_absent = wish->is_absent,
				 .from = wish->from,
				 .source = wish->no_source ? NULL : &source};

	digest_of(wish->alg, bytes, f->size, &d);
	return push_blob(f->r, &spec, &f->c.w, ret);
}

UNUSED static int push(struct fixture *f)
{
	enum push_result result = PUSH_PRESENT;
	int r = push_as(f, &(struct wish){.alg = HASH_SHA256}, &result);

	assert_false(f->session_open);
	if (r < 0)
		return r;
	assert_int_equal(result, PUSH_UPLOADED);
	assert_int_equal(f->s.stored, 1);
	assert_true(f->checks >= 1);
	assert_false(f->late);
	assert_string_equal(f->s.problem, "");
	assert_true(f->largest_read <= MIB);
	return 0;
}

UNUSED static const char *errors(struct fixture *f)
{
	static char text[8192];
	struct str out = {.len = 0};

	assert_int_equal(fault_log_print(f->c.faults, &out), 0);
	snprintf(text, sizeof(text), "%s", out.buf ? out.buf : "");
	str_done(&out);
	return text;
}
