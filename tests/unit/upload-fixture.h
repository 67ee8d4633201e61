/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The two scripted registries take uploads, too; an outbox sends to them. */
#include "content-fixture.h"

#include "content/image.h"
#include "content/known.h"
#include "push/feed.h"
#include "push/outbox_private.h"
#include "push/upload.h"
#include "store/journal.h"
#include "util/clock.h"
#include "util/encode.h"

#define SESSIONS_MAX 128

struct upload_session {
	bool open;
	char *repository, *data;
	size_t len;
};

static struct {
	struct upload_session sessions[SESSIONS_MAX];
	unsigned opened, cancelled, committed, mounted;
	bool no_mount;
	bool forgetful; /* keeps nothing of what was committed */
	atomic_bool hold_posts, hold_puts;
	atomic_ullong received;
} taken; /* the numbers: under the lock of the server that was asked */

static struct journal *journal;
static struct outbox *outbox;

/* Keeps what is sent where blobs are found. */
static void take_blob(struct site *site, const char *repository, char *body,
		      size_t len, struct digest *ret)
{
	struct thing t = {.repository = repository,
			  .kind = "blobs",
			  .body = body,
			  .len = len};

	digest_of(HASH_SHA256, body, len, ret);
	digest_format(ret, t.digest);
	assert(site->len < THINGS_MAX);
	site->things[site->len++] = t;
}

static void commit(struct site *site, struct upload_session *u,
		   const struct request *q, struct reply *p)
{
	const char *text = strstr(q->target, "digest=");
	struct str decoded = {0};
	struct digest want, got;

	u->open = false;
	assert(text &&
	       percent_decode(text + 7, strcspn(text + 7, "&"), &decoded) == 0);
	assert(digest_parse(decoded.buf, &want) == 0);
	str_done(&decoded);
	digest_of(want.alg, u->data ? u->data : "", u->len, &got);
	if (!digest_equal(&want, &got)) {
		refuse(p, 400, "DIGEST_INVALID");
		return;
	}
	if (!taken.forgetful)
		take_blob(site, u->repository, u->data, u->len, &got);
	taken.committed++;
	say(p, 201, "");
	p->hold = &taken.hold_puts;
}

static void session_part(struct site *site, struct upload_session *u,
			 const struct request *q, struct reply *p)
{
	if (!u->open) {
		refuse(p, 404, "BLOB_UPLOAD_UNKNOWN");
		return;
	}
	if (strcmp(q->method, "DELETE") == 0) {
		u->open = false;
		taken.cancelled++;
		say(p, 204, "");
		p->no_length = true;
		return;
	}
	if (strcmp(q->method, "GET") != 0 && q->body_len > 0) {
		u->data = realloc(u->data, u->len + q->body_len);
		assert(u->data);
		memcpy(u->data + u->len, q->body, q->body_len);
		u->len += q->body_len;
		atomic_fetch_add(&taken.received, q->body_len);
	}
	if (strcmp(q->method, "PUT") == 0) {
		commit(site, u, q, p);
		return;
	}
	add_head(p, "Location: /v2/%s/blobs/uploads/%u", u->repository,
		 (unsigned)(u - taken.sessions));
	add_head(p, "Range: 0-%zu", u->len ? u->len - 1 : 0);
	say(p, 202, "");
}

static bool mount(struct site *site, const char *repository,
		  const struct request *q, struct reply *p)
{
	const char *from = strstr(q->target, "from="),
		   *text = strstr(q->target, "mount=");
	struct str name = {0}, digest = {0};
	struct thing *t;

	if (!from || !text || taken.no_mount)
		return false;
	percent_decode(from + 5, strcspn(from + 5, "&"), &name);
	percent_decode(text + 6, strcspn(text + 6, "&"), &digest);
	t = site_find(site, name.buf, name.len, "blobs", digest.buf);
	str_done(&name);
	str_done(&digest);
	if (!t)
		return false;
	assert(site->len < THINGS_MAX);
	site->things[site->len] = *t;
	site->things[site->len++].repository = repository;
	taken.mounted++;
	say(p, 201, "");
	return true;
}

static bool take_uploads(struct site *site, const struct request *q,
			 struct reply *p)
{
	const char *path = q->target + strlen("/v2/");
	const char *at = strstr(path, "/blobs/uploads/");
	struct upload_session *u;
	char *repository;

	if (!at)
		return false;
	at += strlen("/blobs/uploads/");
	if (strcmp(q->method, "POST") != 0) {
		u = &taken.sessions[strtoul(at, NULL, 10) % SESSIONS_MAX];
		session_part(site, u, q, p);
		return true;
	}
	assert(taken.opened < SESSIONS_MAX);
	u = &taken.sessions[taken.opened];
	repository = strndup(path, (size_t)(strstr(path, "/blobs/") - path));
	assert(repository);
	u->repository = repository;
	taken.opened++;
	if (mount(site, repository, q, p))
		return true;
	u->open = true;
	add_head(p, "Location: /v2/%s/blobs/uploads/%u", repository,
		 (unsigned)(u - taken.sessions));
	say(p, 202, "");
	p->hold = &taken.hold_posts;
	return true;
}

/* --- the sending side --- */

static void outbox_begin(struct fixture *f)
{
	struct outbox_config cfg = {.options = &f->options,
				    .content = f->content,
				    .store = f->store};

	assert_int_equal(journal_open(f->store, &journal), 0);
	cfg.journal = journal;
	assert_int_equal(outbox_new(&cfg, &outbox), 0);
	outbox->times.commit_budget = 5000;
}

static void outbox_end(void)
{
	outbox_free(outbox);
	journal_close(journal);
}

static struct fixture *upload_fixture_new(bool disk)
{
	struct fixture *f;

	memset(&taken, 0, sizeof(taken));
	f = fixture_new(disk);
	f->here.hook = f->there.hook = take_uploads;
	outbox_begin(f);
	return f;
}

static void upload_fixture_free(struct fixture *f)
{
	atomic_store(&taken.hold_posts, false);
	atomic_store(&taken.hold_puts, false);
	outbox_end();
	fixture_free(f);
	for (unsigned i = 0; i < taken.opened; i++) {
		free(taken.sessions[i].data);
		free(taken.sessions[i].repository);
	}
}

UNUSED static struct feed *feed_of(struct fixture *f, const char *bytes,
				   size_t len, bool end)
{
	struct feed *feed;

	assert_int_equal(feed_new(f->store, &feed), 0);
	assert_int_equal(feed_write(feed, bytes, len, 0), 0);
	if (end)
		feed_end(feed);
	return feed;
}

UNUSED static struct upload *begin(struct repo *to, const struct digest *d,
				   struct feed *feed)
{
	struct upload_spec spec = {.repo = to, .digest = d, .feed = feed};
	struct upload *u;

	assert_int_equal(upload_begin(outbox, &spec, &u), 0);
	return u;
}

UNUSED static struct upload *begin_from(struct repo *to, const struct digest *d,
					struct repo *from, size_t size,
					bool ahead)
{
	struct upload_spec spec = {.repo = to,
				   .digest = d,
				   .from = from,
				   .size_bytes = size,
				   .ahead = ahead};
	struct upload *u;

	assert_int_equal(upload_begin(outbox, &spec, &u), 0);
	return u;
}

/* Waits, and lets go. */
UNUSED static int finish(struct upload *u)
{
	struct wait w;
	int r, result = 1;

	wait_init(&w, 10000, WAIT_CANCELLABLE);
	r = upload_wait(u, &w);
	if (r == 0) {
		assert_true(upload_done(u, &result));
		assert_int_equal(result, 0);
	}
	upload_unref(u);
	return r;
}

UNUSED static bool holds(struct site *site, struct scripted *s,
			 const char *repository, const struct digest *d,
			 const char *bytes, size_t len)
{
	char text[DIGEST_TEXT_MAX];
	const struct thing *t;

	digest_format(d, text);
	autolock(&s->lock);
	t = site_find(site, repository, strlen(repository), "blobs", text);
	return t && t->len == len &&
	       (len == 0 || memcmp(t->body, bytes, len) == 0);
}

/* Until nothing is under way; fails after three seconds. */
UNUSED static void wait_idle(void)
{
	struct upload_counts n = {0};

	for (int i = 0; i < 3000; i++) {
		uploads_count(outbox->uploads, &n);
		if (n.running + n.queued == 0)
			return;
		usleep(1000);
	}
	fail_msg("%u running, %u queued", n.running, n.queued);
}

UNUSED static bool errors_say(struct fixture *f, const char *text)
{
	autostr out = {0};

	content_print_errors(f->content, &out);
	return out.buf && strstr(out.buf, text);
}

/* --- one test --- */

static struct fixture *f;

static int set_up(void **state)
{
	(void)state;
	f = upload_fixture_new(true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	upload_fixture_free(f);
	return 0;
}

UNUSED static struct digest digest_for(const char *bytes, size_t len)
{
	struct digest d;

	digest_of(HASH_SHA256, bytes, len, &d);
	return d;
}

UNUSED static bool away_holds(const char *bytes, size_t len)
{
	struct digest d = digest_for(bytes, len);

	return holds(&f->there, &f->c.other, REPO, &d, bytes, len);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
