/* SPDX-License-Identifier: Apache-2.0 */
/* What was acknowledged is there; what cannot be relied on is refused. */
#include "journal-fixture.h"

/* --- what is kept --- */

static void keeps(void **state)
{
	struct journal_document d = doc("");
	const char *why = NULL;
	int64_t a, b, c = 0;
	struct stat st;

	assert_int_equal(journal_check(f->j, &why), 0);
	assert_null(why);
	images("");
	a = added("1.0");
	b = added("2.0");
	images("1.0:0: 2.0:0: ");
	again();
	images("1.0:0: 2.0:0: ");
	documents(a, "one", "1.0");
	documents(b, "one", "2.0");
	documents(99, NULL, NULL);
	assert_int_equal(journal_note(f->j, a, EACCES, "denied: \xff\xc3"), 0);
	assert_int_equal(journal_note(f->j, 99, EIO, "nobody"), 0);
	assert_int_equal(journal_add_document(f->j, b, &d), 0);
	/* once */
	assert_int_equal(journal_add_document(f->j, b, &d), 0);
	assert_int_equal(journal_add_document(f->j, 99, &d), -ENOENT);
	assert_int_equal(journal_remove(f->j, b), 0);
	assert_int_equal(journal_remove(f->j, b), 0);
	documents(b, NULL, NULL);
	/* No number twice. */
	assert_int_equal(add("3.0", NULL, 0, &c), 0);
	assert_true(c > b);
	documents(c, NULL, NULL);
	again();
	images("1.0:13:denied: \xff\xc3 3.0:0: ");
	documents(a, "one", "1.0");
	assert_int_equal(journal_note(f->j, a, 0, NULL), 0);
	images("1.0:0: 3.0:0: ");
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(f->wal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static int stop_at_first(void *arg, const struct journal_image *i)
{
	++*(int *)arg;
	return 42;
}

static int stop_at_doc(void *arg, const struct journal_document *d)
{
	++*(int *)arg;
	return -ECANCELED;
}

static void stops(void **state)
{
	int64_t id = added("1.0");
	int n = 0;

	added("2.0");
	assert_int_equal(journal_images(f->j, stop_at_first, &n), 42);
	assert_int_equal(n, 1);
	assert_int_equal(journal_documents(f->j, id, stop_at_doc, &n),
			 -ECANCELED);
	assert_int_equal(n, 2);
}

static void bounded(void **state)
{
	static char text[20000], big[9 << 20];
	struct journal_document d = doc("x"), e = {.mediatype = "x"};
	struct journal_image i = {.host = text,
				  .repository = "r",
				  .name = "n",
				  .mediatype = "m",
				  .text = ""};
	autostr out = {.max = 0};
	int64_t id = 0;

	memset(text, 'x', sizeof(text) - 1);
	digest_of(HASH_SHA256, "x", 1, &i.root);
	assert_int_equal(journal_add(f->j, &i, NULL, 0, &id), -EFBIG);
	i.host = "h";
	i.mediatype = text;
	assert_int_equal(journal_add(f->j, &i, NULL, 0, &id), -EFBIG);
	e.bytes = big;
	e.len = sizeof(big);
	id = added("1.0");
	assert_int_equal(add("2.0", &e, 1, &id), -EFBIG);
	assert_int_equal(journal_add_document(f->j, id, &e), -EFBIG);
	d.mediatype = text;
	assert_int_equal(journal_add_document(f->j, id, &d), -EFBIG);
	assert_int_equal(journal_session_open(f->j, "h", "r", text, &id),
			 -EFBIG);
	assert_int_equal(journal_note(f->j, id, -EIO, "x"), -EINVAL);
	/* Only what is for people is cut. */
	assert_int_equal(journal_note(f->j, id, EIO, text), 0);
	assert_int_equal(journal_images(f->j, add_line, &out), 0);
	assert_int_equal(out.len, strlen("1.0:5: ") + 1024);
	db_lock(f->j->db);
	assert_int_equal(
		db_exec(f->j->db,
			"WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT "
			"i+1 FROM n WHERE i<11000) INSERT INTO image SELECT i, "
			"'', '', '', x'', '', 0, 0, x'', 0, '', x'' FROM n"),
		0);
	db_unlock(f->j->db);
	assert_int_equal(add("2.0", NULL, 0, &id), -ENOSPC);
}

/* --- sessions --- */

static int add_session(void *arg, const char *host, const char *repository,
		       const char *url)
{
	return str_addf(arg, "%s/%s:%s ", host, repository, url);
}

static void sessions_are(const char *expected)
{
	autostr text = {.max = 0};

	assert_int_equal(journal_take_sessions(f->j, add_session, &text), 0);
	assert_string_equal(text.buf ? text.buf : "", expected);
}

static int no_session(void *arg, const char *host, const char *repository,
		      const char *url)
{
	return -ENOMEM;
}

static void sessions(void **state)
{
	int64_t a, b, c;

	assert_int_equal(journal_session_open(f->j, "h", "r", "u1", &a), 0);
	assert_int_equal(journal_session_open(f->j, "h", "r", "u2", &b), 0);
	assert_int_equal(journal_session_open(f->j, "i", "s", "u3", &c), 0);
	assert_int_equal(journal_session_over(f->j, b), 0);
	/* Of this run none. */
	sessions_are("");
	again();
	assert_int_equal(journal_session_open(f->j, "j", "t", "u4", &b), 0);
	assert_true(b > c);
	assert_int_equal(journal_take_sessions(f->j, no_session, NULL),
			 -ENOMEM);
	sessions_are("h/r:u1 i/s:u3 ");
	sessions_are("");
	again();
	sessions_are("j/t:u4 ");
	again();
	sessions_are("");
}

/* --- what is synced --- */

static void durable(void **state)
{
	int64_t id, session;
	unsigned before = syncs;

	assert_int_equal(journal_session_open(f->j, "h", "r", "u", &session),
			 0);
	assert_int_equal(journal_session_over(f->j, session), 0);
	assert_int_equal(syncs, before);
	id = added("1.0");
	assert_true(syncs > before);
	before = syncs;
	/* An empty log's header is synced, once. */
	assert_int_equal(journal_session_open(f->j, "h", "r", "u", &session),
			 0);
	assert_true(syncs <= before + 1);
	before = syncs;
	assert_int_equal(journal_session_over(f->j, session), 0);
	assert_int_equal(syncs, before);
	assert_int_equal(journal_note(f->j, id, EIO, "why"), 0);
	assert_true(syncs > before);
	before = syncs;
	assert_int_equal(journal_remove(f->j, id), 0);
	assert_true(syncs > before);
}

static void refuses(void)
{
	struct journal_document d = doc("x");
	const char *why = NULL;
	int64_t id = -1;

	assert_int_equal(journal_check(f->j, &why), -EROFS);
	assert_non_null(why);
	assert_int_equal(journal_check(f->j, NULL), -EROFS);
	assert_int_equal(add("9.0", &d, 1, &id), -EROFS);
	assert_int_equal(journal_add_document(f->j, 1, &d), -EROFS);
	assert_int_equal(journal_note(f->j, 1, 0, ""), -EROFS);
	assert_int_equal(journal_remove(f->j, 1), -EROFS);
	assert_int_equal(journal_session_open(f->j, "h", "r", "u", &id),
			 -EROFS);
	assert_int_equal(journal_session_over(f->j, 1), -EROFS);
	assert_int_equal(id, -1);
}

/* A sync that failed once is not made good by one that succeeds. */
static void sync_fails(void **state)
{
	int64_t id = added("1.0");

	fail_sync = true;
	assert_int_equal(add("2.0", NULL, 0, &id), -EIO);
	fail_sync = false;
	refuses();
	again();
	assert_int_equal(journal_check(f->j, NULL), 0);
	images("1.0:0: ");
}

/* --- what is taken away --- */

static void vanishes(void **state)
{
	added("1.0");
	remove_tree(f->cache);
	refuses();
	/* The directory comes back, the journal does not. */
	(void)store_maintain(f->s);
	refuses();
	again();
	assert_int_equal(journal_check(f->j, NULL), 0);
	images("");
	added("2.0");
}

static void wal_vanishes(void **state)
{
	added("1.0");
	assert_int_equal(unlink(f->wal), 0);
	refuses();
}

static void replaced(void **state)
{
	char other[128];

	added("1.0");
	snprintf(other, sizeof(other), "%s.other", f->file);
	assert_int_equal(rename(f->file, other), 0);
	close(open(f->file, O_RDWR | O_CREAT, 0600));
	refuses();
}

static void take_away(void)
{
	at_sync = NULL;
	assert_int_equal(unlink(f->wal), 0);
}

static void vanishes_meanwhile(void **state)
{
	int64_t id = -1;

	added("1.0");
	at_sync = take_away;
	assert_int_equal(add("2.0", NULL, 0, &id), -EIO);
	assert_int_equal(id, -1);
	refuses();
}

/* Its directory may be renamed. */
static void moved(void **state)
{
	char other[128];

	snprintf(other, sizeof(other), "%s.other", f->cache);
	assert_int_equal(rename(f->cache, other), 0);
	added("1.0");
	assert_int_equal(journal_check(f->j, NULL), 0);
	assert_int_equal(rename(other, f->cache), 0);
	again();
	images("1.0:0: ");
}

/* --- what is refused --- */

static void put_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, bytes, len), 0);
	close(fd);
}

static char *get_file(const char *path, size_t *ret_len)
{
	char *bytes = NULL;

	assert_int_equal(
		fd_read_file(AT_FDCWD, path, 64 << 20, &bytes, ret_len), 0);
	return bytes;
}

/* Refused for this reason, and left as it is. */
static void refused_as_it_is(const char *says)
{
	size_t before_len, after_len;
	char *before = get_file(f->file, &before_len), *after;
	const char *why = NULL;

	start();
	refuses();
	assert_int_equal(journal_check(f->j, &why), -EROFS);
	if (!strstr(why, says))
		fail_msg("%s, not %s", why, says);
	assert_non_null(strstr(why, f->file));
	stop();
	after = get_file(f->file, &after_len);
	assert_int_equal(after_len, before_len);
	assert_memory_equal(after, before, after_len);
	free(before);
	free(after);
}

static void damaged(void **state)
{
	size_t len;
	char *bytes;

	for (int i = 0; i < 40; i++)
		added("1.0");
	stop();
	bytes = get_file(f->file, &len);
	assert_true(len > 5 * 4096);
	put_file(f->file, "no database", 11);
	refused_as_it_is("is damaged");
	put_file(f->file, bytes, len - 4096);
	refused_as_it_is("is damaged");
	memset(bytes + 4096, 0xa5, 2 * 4096);
	put_file(f->file, bytes, len);
	refused_as_it_is("is damaged");
	free(bytes);
	/* What a crash at the first start leaves is none. */
	put_file(f->file, "", 0);
	start();
	assert_int_equal(journal_check(f->j, NULL), 0);
	added("1.0");
}

static void change(const char *sql)
{
	db_lock(f->j->db);
	assert_int_equal(db_exec(f->j->db, sql), 0);
	db_unlock(f->j->db);
}

static void set_header(const char *sql)
{
	change(sql);
	stop();
}

static void other_version(void **state)
{
	added("1.0");
	set_header("PRAGMA user_version = 3");
	refused_as_it_is("newer version");
	start();
}

static void foreign(void **state)
{
	added("1.0");
	set_header("PRAGMA application_id = 1");
	refused_as_it_is("is not ours");
	start();
}

/* As after a crash: what was written last is in the log still. */
static void other_version_in_log(void **state)
{
	size_t file_len, wal_len, len;
	char *file, *wal, *after;

	added("1.0");
	change("PRAGMA user_version = 3");
	file = get_file(f->file, &file_len);
	wal = get_file(f->wal, &wal_len);
	assert_true(wal_len > 4096);
	stop();
	put_file(f->file, file, file_len);
	put_file(f->wal, wal, wal_len);
	refused_as_it_is("newer version");
	after = get_file(f->wal, &len);
	assert_int_equal(len, wal_len);
	assert_memory_equal(after, wal, len);
	free(file);
	free(wal);
	free(after);
	start();
}

/* As after a kill: what came last is in the log, and the log is damaged.  What
 * was acknowledged is there all the same. */
static void damaged_log(void **state)
{
	size_t file_len, wal_len;
	char *file, *wal;
	int64_t session;

	added("1.0");
	added("2.0");
	assert_int_equal(journal_session_open(f->j, "h", "r", "u", &session),
			 0);
	file = get_file(f->file, &file_len);
	wal = get_file(f->wal, &wal_len);
	assert_true(wal_len > 4096);
	for (size_t at = 0; at < wal_len; at += 1000) {
		stop();
		put_file(f->file, file, file_len);
		wal[at] ^= 1;
		put_file(f->wal, wal, wal_len);
		wal[at] ^= 1;
		start();
		if (journal_check(f->j, NULL) == 0)
			images("1.0:0: 2.0:0: ");
	}
	free(file);
	free(wal);
}

/* What it was copied from is kept, and means nothing if it is damaged. */
static int add_origin(void *arg, const struct journal_image *i)
{
	return str_addf(arg, "%s:%s/%s ", i->name,
			i->from_host ? i->from_host : "",
			i->from_repository ? i->from_repository : "");
}

static void origins(const char *expected)
{
	autostr text = {.max = 0};

	assert_int_equal(journal_images(f->j, add_origin, &text), 0);
	assert_string_equal(text.buf, expected);
}

static void copied(void **state)
{
	struct journal_image i = {.host = "a.io",
				  .repository = "r",
				  .name = "2.0",
				  .mediatype = "",
				  .text = "",
				  .from_host = "b.io",
				  .from_repository = "s"};
	int64_t id = 0;

	added("1.0");
	digest_of(HASH_SHA256, "x", 1, &i.root);
	assert_int_equal(journal_add(f->j, &i, NULL, 0, &id), 0);
	again();
	origins("1.0:/ 2.0:b.io/s ");
	change("UPDATE origin SET repository='t'");
	origins("1.0:/ 2.0:/ ");
	assert_int_equal(journal_remove(f->j, id), 0);
	again(); /* numbers begin anew */
	assert_int_equal(journal_add(f->j, &i, NULL, 0, &id), 0);
	origins("1.0:/ 2.0:b.io/s ");
}

/* One that an older version left is taken over, with what is in it. */
static void upgraded(void **state)
{
	added("1.0");
	change("DROP TABLE origin");
	change("PRAGMA user_version = 1");
	again();
	assert_int_equal(journal_check(f->j, NULL), 0);
	images("1.0:0: ");
	added("2.0");
	again();
	images("1.0:0: 2.0:0: ");
}

/* Not even its kind of journal is changed. */
static void foreign_plain(void **state)
{
	change("PRAGMA application_id = 1");
	set_header("PRAGMA journal_mode = DELETE");
	refused_as_it_is("is not ours");
	start();
}

static void other_tables(void **state)
{
	set_header("DROP TABLE image");
	refused_as_it_is("is damaged");
	start();
}

static void not_a_file(void **state)
{
	char target[128];
	struct stat st;

	stop();
	assert_int_equal(unlink(f->file), 0);
	snprintf(target, sizeof(target), "%s/elsewhere", f->dir);
	assert_int_equal(symlink(target, f->file), 0);
	start();
	refuses();
	assert_int_equal(stat(target, &st), -1);
	stop();
	assert_int_equal(unlink(f->file), 0);
	assert_int_equal(mkdir(f->file, 0700), 0);
	start();
	refuses();
	stop();
	assert_int_equal(rmdir(f->file), 0);
	start();
	assert_int_equal(journal_check(f->j, NULL), 0);
}

static void no_disk(void **state)
{
	autostr text = {.max = 0};

	stop();
	f->cfg.dir = NULL;
	start();
	refuses();
	assert_int_equal(journal_images(f->j, add_line, &text), -EROFS);
	assert_int_equal(journal_documents(f->j, 1, add_doc, &text), -EROFS);
	assert_int_equal(journal_take_sessions(f->j, add_session, &text),
			 -EROFS);
}

/* Whatever SQLite does not notice. */
static void damaged_rows(void **state)
{
	static const char *const changes[] = {
		"UPDATE image SET name='1.1' WHERE id=1",
		"UPDATE image SET host='b.io' WHERE id=1",
		"UPDATE image SET repository='team/ap' WHERE id=1",
		"UPDATE image SET mediatype='application/z' WHERE id=1",
		"UPDATE image SET wall=wall+1 WHERE id=1",
		"UPDATE image SET root=zeroblob(65) WHERE id=1",
		"UPDATE image SET before=1 WHERE id=1",
		"UPDATE image SET before=3 WHERE id=1",
		"UPDATE image SET was=x'' WHERE id=1",
		"UPDATE image SET was=root WHERE id=1",
		"UPDATE image SET root=x'' WHERE id=1",
		"UPDATE image SET sum=x'00' WHERE id=1",
		"UPDATE image SET error='x' WHERE id=1",
		"UPDATE image SET text=7.5||x'00' WHERE id=1",
	};
	autostr text = {.max = 0};
	int64_t a, b;

	for (size_t i = 0; i < COUNT(changes); i++) {
		a = added("1.0");
		b = added("2.0");
		assert_int_equal(a, 1);
		change(changes[i]);
		str_clear(&text);
		if (journal_images(f->j, add_line, &text) != -EBADMSG)
			fail_msg("%s", changes[i]);
		assert_string_equal(text.buf, "2.0:0: ");
		/* It can be told to go. */
		assert_int_equal(journal_remove(f->j, a), 0);
		images("2.0:0: ");
		assert_int_equal(journal_remove(f->j, b), 0);
		again(); /* numbers begin anew */
	}
}

static void damaged_documents(void **state)
{
	static const char *const changes[] = {
		"UPDATE document SET body=x'31' WHERE body=x'6f6e65'",
		"UPDATE document SET body='one' WHERE body=x'6f6e65'",
		"UPDATE document SET mediatype='x' WHERE body=x'6f6e65'",
		"UPDATE document SET sum=zeroblob(16) WHERE body=x'6f6e65'",
		"UPDATE document SET digest=x'00' WHERE body=x'6f6e65'",
		"UPDATE document SET image=1 WHERE body=x'322e30'",
	};
	autostr text = {.max = 0};

	for (size_t i = 0; i < COUNT(changes); i++) {
		int64_t a = added("1.0"), b = added("2.0");

		assert_true(a == 1 && b == 2);
		change(changes[i]);
		str_clear(&text);
		if (journal_documents(f->j, a, add_doc, &text) != -EBADMSG)
			fail_msg("%s", changes[i]);
		assert_non_null(strstr(text.buf, "1.0 "));
		assert_int_equal(journal_remove(f->j, a), 0);
		assert_int_equal(journal_remove(f->j, b), 0);
		again();
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(keeps),
		T(stops),
		T(bounded),
		T(sessions),
		T(durable),
		T(sync_fails),
		T(vanishes),
		T(wal_vanishes),
		T(replaced),
		T(vanishes_meanwhile),
		T(moved),
		T(damaged),
		T(other_version),
		T(other_version_in_log),
		T(damaged_log),
		T(copied),
		T(upgraded),
		T(foreign),
		T(foreign_plain),
		T(other_tables),
		T(not_a_file),
		T(no_disk),
		T(damaged_rows),

		T(damaged_documents),

	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
