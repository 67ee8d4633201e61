/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For tests of the journal: a store with one, and pending images for it.  No
 * sync waits for the disk; they are counted, and fail when told to. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/dbconn.h"
#include "store/journal_private.h"
#include "store/schema.h"
#include "store/state.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

#define MIB ((uint64_t)1 << 20)
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define UNUSED __attribute__((unused))

static atomic_uint syncs;
static atomic_bool fail_sync;
static void (*at_sync)(void);

static int sync_now(void)
{
	atomic_fetch_add(&syncs, 1);
	if (at_sync)
		at_sync();
	if (atomic_load(&fail_sync)) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return sync_now();
}

int fdatasync(int fd)
{
	(void)fd;
	return sync_now();
}

struct fixture {
	char dir[64], cache[80], file[96], wal[100];
	struct store_config cfg;
	struct store *s;
	struct journal *j;
};

static struct fixture *f;

static void remove_tree(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void start(void)
{
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	assert_int_equal(journal_open(f->s, &f->j), 0);
}

static void stop(void)
{
	journal_close(f->j);
	store_close(f->s);
}

UNUSED static void again(void)
{
	stop();
	start();
}

UNUSED static int setup(void **state)
{
	f = calloc(1, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/test-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cache, sizeof(f->cache), "%s/c", f->dir);
	snprintf(f->file, sizeof(f->file), "%s/journal.db", f->cache);
	snprintf(f->wal, sizeof(f->wal), "%s-wal", f->file);
	f->cfg =
		(struct store_config){.dir = f->cache, .size_bytes = 100 * MIB};
	log_set_level((enum log_level) - 1);
	fail_sync = false;
	at_sync = NULL;
	start();
	return 0;
}

UNUSED static int teardown(void **state)
{
	fail_sync = false;
	at_sync = NULL;
	stop();
	remove_tree(f->dir);
	free(f);
	return 0;
}

/* --- making and describing --- */

static struct journal_document doc(const char *text)
{
	struct journal_document d = {.mediatype = "application/x",
				     .bytes = text,
				     .len = strlen(text)};

	digest_of(HASH_SHA256, text, d.len, &d.digest);
	return d;
}

static int add(const char *name, const struct journal_document *docs, size_t n,
	       int64_t *ret_id)
{
	struct journal_image i = {.host = "a.io",
				  .repository = "team/app",
				  .name = name,
				  .mediatype = "application/y",
				  .before = JOURNAL_BEFORE_IMAGE,
				  .wall = 1700000000,
				  .text = ""};

	digest_of(HASH_SHA512, name, strlen(name), &i.root);
	digest_of(HASH_SHA256, name, strlen(name), &i.was);
	return journal_add(f->j, &i, docs, n, ret_id);
}

UNUSED static int64_t added(const char *name)
{
	struct journal_document d[] = {doc("one"), doc(name)};
	int64_t id = 0;

	assert_int_equal(add(name, d, COUNT(d), &id), 0);
	assert_true(id > 0);
	return id;
}

UNUSED static int add_line(void *arg, const struct journal_image *i)
{
	struct digest root, was;

	digest_of(HASH_SHA512, i->name, strlen(i->name), &root);
	digest_of(HASH_SHA256, i->name, strlen(i->name), &was);
	assert_int_equal(i->before, JOURNAL_BEFORE_IMAGE);
	assert_true(digest_equal(&was, &i->was));
	assert_true(digest_equal(&root, &i->root));
	assert_string_equal(i->host, "a.io");
	assert_string_equal(i->repository, "team/app");
	assert_string_equal(i->mediatype, "application/y");
	assert_int_equal(i->wall, 1700000000);
	return str_addf(arg, "%s:%d:%s ", i->name, i->error, i->text);
}

UNUSED static int add_doc(void *arg, const struct journal_document *d)
{
	struct digest is;

	digest_of(d->digest.alg, d->bytes, d->len, &is);
	assert_true(digest_equal(&is, &d->digest));
	assert_string_equal(d->mediatype, "application/x");
	return str_addf(arg, "%.*s ", (int)d->len, (const char *)d->bytes);
}

UNUSED static void images(const char *expected)
{
	autostr text = {.max = 0};

	assert_int_equal(journal_images(f->j, add_line, &text), 0);
	assert_string_equal(text.buf ? text.buf : "", expected);
}

/* They come in the order of their digests: only what is there counts. */
UNUSED static void documents(int64_t id, const char *a, const char *b)
{
	autostr text = {.max = 0};

	assert_int_equal(journal_documents(f->j, id, add_doc, &text), 0);
	assert_int_equal(text.len,
			 (a ? strlen(a) + 1 : 0) + (b ? strlen(b) + 1 : 0));
	if (a)
		assert_non_null(strstr(text.buf, a));
	if (b)
		assert_non_null(strstr(text.buf, b));
}
