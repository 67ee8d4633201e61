/* SPDX-License-Identifier: Apache-2.0 */
/* A start on a disk that is full, and what happens when it no longer is. */
#include "journal-fixture.h"

#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "store/chunk.h"
#include "store/db.h"
#include "store/rows.h"

enum disk {
	DISK_ROOM,
	DISK_FULL,	/* whatever is removed */
	DISK_OF_BLOBS,	/* full while all blobs are there */
	DISK_BROKEN,	/* has room, and writes fail */
	DISK_NO_FOLDER, /* not even the cache's directory can be made */
};

#define BLOBS 3

static _Atomic enum disk disk;
static char blobs[BLOBS][300];

static unsigned blobs_there(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < BLOBS; i++)
		n += access(blobs[i], F_OK) == 0;
	return n;
}

static bool is_full(void)
{
	enum disk is = atomic_load(&disk);

	return is == DISK_FULL ||
	       (is == DISK_OF_BLOBS && blobs_there() == BLOBS);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t off)
{
	if (is_full() || atomic_load(&disk) == DISK_BROKEN) {
		errno = is_full() ? ENOSPC : EIO;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, buf, n, off);
}

int fstatvfs64(int fd, struct statvfs64 *ret)
{
	(void)fd;
	*ret = (struct statvfs64){.f_frsize = 4096,
				  .f_bavail = is_full() ? 1 : 1 << 20};
	return 0;
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	if (atomic_load(&disk) == DISK_NO_FOLDER) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_mkdirat, dir, name, mode);
}

static int set_up(void **state)
{
	atomic_store(&disk, DISK_ROOM);
	return setup(state);
}

static int tear_down(void **state)
{
	atomic_store(&disk, DISK_ROOM);
	return teardown(state);
}

static void start_when(enum disk how)
{
	atomic_store(&disk, how);
	start();
}

static int is_name(void *arg, const char *name)
{
	return strcmp(arg, name) == 0;
}

static bool knows_repository(const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", name);
	return repository_each(f->s, "h", is_name, text) == 1;
}

/* --- the journal --- */

/* Nothing can be written, and everybody is told why. */
static void journal_is(int r)
{
	const char *why = NULL;
	int64_t id = -1;

	assert_int_equal(journal_check(f->j, &why), r);
	assert_non_null(why);
	assert_int_equal(journal_check(f->j, NULL), r);
	assert_true(add("9.0", NULL, 0, &id) < 0);
	assert_int_equal(id, -1);
}

static void first_start(void **state)
{
	stop();
	remove_tree(f->cache);
	start_when(DISK_FULL);
	assert_true(db_is_late(f->s->db));
	assert_false(knows_repository("r"));
	/* What it learns it keeps in memory. */
	assert_int_equal(repository_seen(f->s, "h", "r"), 0);
	assert_true(knows_repository("r"));
	assert_int_equal(store_maintain(f->s), 0);
	assert_true(db_is_late(f->s->db));
	journal_is(-ENOSPC);

	atomic_store(&disk, DISK_ROOM);
	assert_int_equal(journal_check(f->j, NULL), 0);
	assert_int_equal(store_maintain(f->s), 0);
	assert_false(db_is_late(f->s->db));
	assert_false(knows_repository("r"));
	assert_int_equal(repository_seen(f->s, "h", "r"), 0);
	added("1.0");
	again();
	assert_true(knows_repository("r"));
	images("1.0:0: ");
}

/* What was pending is there after the next start, whatever was in between. */
static void pending_survives(void **state)
{
	added("1.0");
	stop();
	start_when(DISK_FULL);
	stop();
	start_when(DISK_FULL);
	atomic_store(&disk, DISK_ROOM);
	assert_int_equal(journal_check(f->j, NULL), 0);
	added("2.0");
	again();
	images("1.0:0: 2.0:0: ");
}

/* A disk that fails while it has room is not waited for. */
static void broken(void **state)
{
	stop();
	remove_tree(f->cache);
	start_when(DISK_BROKEN);
	journal_is(-EROFS);
	assert_int_equal(store_writable(f->s), -EROFS);
	assert_int_equal(repository_seen(f->s, "h", "r"), 0);
	assert_true(knows_repository("r"));
	atomic_store(&disk, DISK_ROOM);
	assert_int_equal(store_maintain(f->s), 0);
	journal_is(-EROFS);
	again();
	assert_int_equal(journal_check(f->j, NULL), 0);
	assert_int_equal(store_writable(f->s), 0);
}

static void no_folder(void **state)
{
	stop();
	remove_tree(f->cache);
	start_when(DISK_NO_FOLDER);
	journal_is(-ENOSPC);
	assert_int_equal(store_writable(f->s), -ENOSPC);
	assert_false(store_has_disk(f->s));
	/* No later directory takes its place. */
	atomic_store(&disk, DISK_ROOM);
	assert_int_equal(store_maintain(f->s), 0);
	journal_is(-ENOSPC);
	again();
	assert_int_equal(journal_check(f->j, NULL), 0);
}

/* --- the cache --- */

/* Side by side; no row knows them. */
static void put_blobs(void)
{
	static const char *const folders[] = {"blobs", "blobs/sha256",
					      "blobs/sha256/aa"};
	char folder[200] = "";

	for (size_t i = 0; i < COUNT(folders); i++) {
		snprintf(folder, sizeof(folder), "%s/%s", f->cache, folders[i]);
		(void)mkdir(folder, 0700);
	}
	for (unsigned i = 0; i < BLOBS; i++) {
		snprintf(blobs[i], sizeof(blobs[i]), "%s/aa%062u", folder, i);
		close(open(blobs[i], O_WRONLY | O_CREAT, 0600));
	}
	assert_int_equal(blobs_there(), BLOBS);
}

/* It is full of what it has cached: no more of that goes than is needed. */
static void cached_makes_room(void **state)
{
	unsigned after;

	assert_int_equal(repository_seen(f->s, "h", "r"), 0);
	stop();
	put_blobs();
	atomic_store(&disk, DISK_OF_BLOBS);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	after = blobs_there();
	assert_false(db_is_late(f->s->db));
	assert_true(knows_repository("r"));
	assert_int_equal(journal_open(f->s, &f->j), 0);
	assert_int_equal(journal_check(f->j, NULL), 0);
	assert_int_equal(after, BLOBS - 1);
}

/* As bytes are written while no row can be. */
static void write_blob(const struct digest *d, const char *bytes, size_t len)
{
	struct chunks *c;

	assert_int_equal(chunks_open(f->s, d, len, &c), 0);
	assert_int_equal(chunks_put(c, 0, bytes, len), 0);
	chunks_close(c);
}

static bool has_blob(const struct digest *d, const char *bytes, size_t len)
{
	struct chunks *c;
	char got[64];
	bool has;

	assert_int_equal(chunks_open(f->s, d, len, &c), 0);
	has = chunks_ready(c, 0, true);
	if (has) {
		assert_int_equal(chunks_read(c, got, len, 0), len);
		assert_memory_equal(got, bytes, len);
	}
	chunks_close(c);
	return has;
}

/* What the file said of blobs is forgotten, for others may have their names
 * by now; all else that it knows is true. */
static void rows_of_old(void **state)
{
	static const char bytes[] = "some bytes of a blob";
	struct digest d;
	struct blob_row row;

	digest_of(HASH_SHA256, bytes, sizeof(bytes), &d);
	write_blob(&d, bytes, sizeof(bytes));
	assert_true(has_blob(&d, bytes, sizeof(bytes)));
	assert_int_equal(repository_seen(f->s, "h", "r"), 0);
	again();
	assert_true(has_blob(&d, bytes, sizeof(bytes)));
	assert_int_equal(blob_get(f->s, &d, &row), 0);
	stop();

	start_when(DISK_FULL);
	assert_true(db_is_late(f->s->db));
	assert_int_equal(blob_get(f->s, &d, &row), -ENOENT);
	assert_false(knows_repository("r"));
	atomic_store(&disk, DISK_ROOM);
	assert_int_equal(store_maintain(f->s), 0);
	assert_false(db_is_late(f->s->db));
	assert_true(knows_repository("r"));
	assert_int_equal(blob_get(f->s, &d, &row), -ENOENT);
	/* And it can be had again. */
	assert_false(has_blob(&d, bytes, sizeof(bytes)));
	write_blob(&d, bytes, sizeof(bytes));
	again();
	assert_true(has_blob(&d, bytes, sizeof(bytes)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pending_survives, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(broken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_folder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cached_makes_room, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(rows_of_old, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
