/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of the journal, and whether it can be relied on.
 *
 *   open --(damaged, foreign, other version, cannot be written)--> refuses
 *     |
 *     +--(damage, a sync that failed, or the file was taken away)--> refuses
 *   no room to open it --there is--> open; what an earlier run left pending
 *            waits for the next one
 *
 * Nothing else leads back but another mount.  SQLite goes on writing to a file
 * that was deleted, so after each commit it is looked whether the names in the
 * directory still lead to what was written.
 */
#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/journal_private.h"
#include "store/schema.h"
#include "store/state.h"
#include "util/auto.h"
#include "util/fd.h"
#include "util/log.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define APPLICATION 0x7266736a /* "rfsj" */
/* `sum` see journalrows.c. */
#define DOCUMENT                                                               \
	"CREATE TABLE document(image INTEGER NOT NULL, digest BLOB NOT NULL,"  \
	" mediatype TEXT NOT NULL, body BLOB NOT NULL, sum BLOB NOT NULL,"     \
	" PRIMARY KEY(image, digest))"
#define IMAGE                                                                  \
	"CREATE TABLE image(id INTEGER PRIMARY KEY, host TEXT NOT NULL,"       \
	" repository TEXT NOT NULL, name TEXT NOT NULL, root BLOB NOT NULL,"   \
	" mediatype TEXT NOT NULL, wall INTEGER NOT NULL,"                     \
	" before INTEGER NOT NULL, was BLOB NOT NULL,"                         \
	" error INTEGER NOT NULL, text TEXT NOT NULL, sum BLOB NOT NULL)"
#define ORIGIN                                                                 \
	"CREATE TABLE origin(image INTEGER PRIMARY KEY, host TEXT NOT NULL,"   \
	" repository TEXT NOT NULL, sum BLOB NOT NULL)"
#define SESSION                                                                \
	"CREATE TABLE session(id INTEGER PRIMARY KEY, host TEXT NOT NULL,"     \
	" repository TEXT NOT NULL, url TEXT NOT NULL)"

static const char *const statements[] = {DOCUMENT, IMAGE, ORIGIN, SESSION};
static const char *const old_statements[] = {DOCUMENT, IMAGE, SESSION};

static const struct schema schema_old = {
	.application_id = APPLICATION,
	.version = 1,
	.statements = old_statements,
	.statements_len = COUNT(old_statements),
};

static const struct schema schema_journal = {
	.application_id = APPLICATION,
	.version = 2,
	.statements = statements,
	.statements_len = COUNT(statements),
	.older = &schema_old,
	.upgrade = ORIGIN "; PRAGMA user_version = 2",
};

static bool look(const struct journal *j, const char *name,
		 struct journal_file *ret)
{
	struct stat st;

	if (fstatat(j->s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret = (struct journal_file){.dev = st.st_dev, .ino = st.st_ino};
	return true;
}

static bool is_there(const struct journal *j, const char *name,
		     const struct journal_file *file)
{
	struct journal_file now;

	return look(j, name, &now) && now.dev == file->dev &&
	       now.ino == file->ino;
}

bool journal_in_place(struct journal *j)
{
	return is_there(j, JOURNAL_FILE, &j->file) &&
	       is_there(j, JOURNAL_WAL, &j->wal);
}

/* The file for SQLite to find: nobody else may read it. */
static int make_file(struct store *s, const char **ret_why)
{
	autoclose int fd = fd_openat(s->dirfd, JOURNAL_FILE,
				     O_RDWR | O_CREAT | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0) {
		*ret_why = strerror(-fd);
		return fd;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
		*ret_why = "is not ours";
		return -EPERM;
	}
	return 0;
}

static int next_id(struct db *db, const char *sql, int64_t *ret)
{
	autoquery q = query_start(db, sql);
	int64_t last = 0;
	int r = query_next(&q);

	if (r > 0)
		r = query_get_int(&q, 0, 0, INT64_MAX - 1, &last);
	if (r == 0)
		*ret = last + 1;
	return r;
}

/* *ret is the caller's to close, also after a failure. */
static int open_file(struct journal *j, struct db **ret, const char **ret_why)
{
	autofree char *path = str_printf("%s/%s", j->s->dir, JOURNAL_FILE);
	struct db_kept k = {
		.path = path, .title = "journal", .schema = &schema_journal};
	int r;

	if (!path)
		return -ENOMEM;
	r = make_file(j->s, ret_why);
	if (r == 0)
		r = db_open_kept(&k, ret, ret_why);
	if (r < 0)
		return r;
	*ret_why = "is damaged";
	autodb(*ret);
	r = next_id(*ret, "SELECT coalesce(max(id), 0) FROM image",
		    &j->next_image);
	if (r == 0)
		r = next_id(*ret, "SELECT coalesce(max(id), 0) FROM session",
			    &j->next_session);
	if (r < 0)
		return r;
	j->first_session = j->next_session;
	/* A new file's name is to survive, too. */
	if (!look(j, JOURNAL_FILE, &j->file) ||
	    !look(j, JOURNAL_WAL, &j->wal) ||
	    (fsync(j->s->dirfd) < 0 && errno != EINVAL)) {
		*ret_why = "cannot be relied on";
		return -EIO;
	}
	return 0;
}

static int open_db(struct journal *j, const char **ret_why)
{
	struct db *db = NULL;
	int r = open_file(j, &db, ret_why);

	if (r < 0)
		db_close(db);
	else
		j->db = db;
	return r;
}

int journal_open(struct store *s, struct journal **ret)
{
	const char *why = "cannot be opened";
	struct journal *j = calloc(1, sizeof(*j));
	int r = s->was_full ? -ENOSPC : -ENODEV;

	if (!j)
		return -ENOMEM;
	j->s = s;
	pthread_mutex_init(&j->opening, NULL);
	if (s->dirfd >= 0)
		r = open_db(j, &why);
	/* Memory may come back, and a refusal would stay. */
	if (r == -ENOMEM) {
		journal_close(j);
		return r;
	}
	if (r < 0) {
		j->full = r == -ENOSPC || (r == -EIO && !storedir_has_room(s));
		j->why = s->dirfd < 0 ? strdup("the cache has no disk")
				      : str_printf("%s/%s: %s", s->dir,
						   JOURNAL_FILE, why);
		if (!j->why) {
			journal_close(j);
			return -ENOMEM;
		}
		log_warning("nothing can be written: %s", j->why);
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	db_close(j->db);
	pthread_mutex_destroy(&j->opening);
	free(j->why);
	free(j);
}

/* It was full when the mount began. */
static void open_late(struct journal *j)
{
	const char *ignored;

	autolock(&j->opening);
	if (!j->db && j->s->dirfd >= 0 && storedir_has_room(j->s) &&
	    open_db(j, &ignored) == 0)
		log_warning("there is room again: files can be written");
}

int journal_check(struct journal *j, const char **ret_why)
{
	const char *why;

	if (!j->db && j->full)
		open_late(j);
	why = j->db ? NULL : j->why;
	if (j->db) {
		autodb(j->db);
		if (db_is_bad(j->db))
			why = "the journal is damaged, or its disk fails";
		else if (!journal_in_place(j))
			why = "the journal was taken away";
	}
	if (why && ret_why)
		*ret_why = why;
	if (!why)
		return 0;
	return j->full ? -ENOSPC : -EROFS;
}

int journal_begin(struct journal *j)
{
	if (db_is_bad(j->db) || !journal_in_place(j))
		return -EROFS;
	return db_begin(j->db);
}

int journal_end_loosely(struct journal *j, int r)
{
	r = db_end(j->db, r);
	if (r < 0 || journal_in_place(j))
		return r;
	log_error("the journal was taken away while it was written");
	return -EIO;
}

int journal_end(struct journal *j, int r)
{
	r = journal_end_loosely(j, r);
	if (r == 0)
		db_settle(j->db);
	return r;
}
