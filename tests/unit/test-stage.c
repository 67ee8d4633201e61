/* SPDX-License-Identifier: Apache-2.0 */
/* Files being written: what is in them, and what happens without room. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/stage.h"
#include "store/state.h"
#include "util/clock.h"
#include "util/log.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define LIMIT (8 * MIB)

/* What the disk says, if not 0. */
static atomic_int fail_pwrite, fail_fallocate, fail_truncate, fail_open;
static atomic_bool no_tmpfile;
/* Free bytes, if the disk is small; chunks of blobs take from them. */
static atomic_llong small_disk = -1;
static struct store *measured;
static uint64_t measured_from;

static bool fails(atomic_int *with)
{
	errno = atomic_load(with);
	return errno != 0;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (!fails(&fail_pwrite))
		return syscall(SYS_pwrite64, fd, buf, len, off);
	/* Half of it goes through. */
	if (len > 1)
		return syscall(SYS_pwrite64, fd, buf, len / 2, off);
	return -1;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	if (!(mode & FALLOC_FL_PUNCH_HOLE) && fails(&fail_fallocate))
		return -1;
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

int ftruncate(int fd, off_t len)
{
	if (fails(&fail_truncate))
		return -1;
	return (int)syscall(SYS_ftruncate, fd, len);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if ((flags & O_TMPFILE) == O_TMPFILE) {
		if (fails(&fail_open))
			return -1;
		if (atomic_load(&no_tmpfile)) {
			errno = EOPNOTSUPP;
			return -1;
		}
	}
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

int fstatvfs(int fd, struct statvfs *ret)
{
	long long bytes = atomic_load(&small_disk);

	memset(ret, 0, sizeof(*ret));
	ret->f_frsize = 1;
	ret->f_bavail = (fsblkcnt_t)1 << 50;
	if (bytes >= 0) {
		/* What was evicted since is free. */
		pthread_mutex_lock(&measured->lock);
		bytes += (long long)(measured_from - measured->bytes);
		pthread_mutex_unlock(&measured->lock);
		ret->f_bavail = (fsblkcnt_t)bytes;
	}
	return 0;
}

struct fixture {
	char dir[64], cache[80];
	struct store_config cfg;
	struct store *s;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fail_pwrite = fail_fallocate = fail_truncate = fail_open = 0;
	no_tmpfile = false;
	small_disk = -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test-stage-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cache, sizeof(f->cache), "%s/c", f->dir);
	f->cfg = (struct store_config){.dir = f->cache,
				       .size_bytes = 1024 * MIB,
				       .min_free_bytes = 10 * MIB,
				       .spool_bytes = LIMIT};
	log_set_level((enum log_level) - 1);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	*state = f;
	return 0;
}

static void remove_tree(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	small_disk = -1;
	store_close(f->s);
	remove_tree(f->dir);
	free(f);
	return 0;
}

static struct stage *begin(struct fixture *f)
{
	struct stage *st = NULL;

	assert_int_equal(stage_new(f->s, &st), 0);
	return st;
}

static void used(struct fixture *f, uint64_t stages, uint64_t bytes)
{
	struct stage_stats st;

	stage_stats(f->s, &st);
	assert_int_equal(st.stages, stages);
	assert_int_equal(st.bytes, bytes);
	assert_int_equal(st.size_bytes, f->cfg.spool_bytes);
}

static unsigned spooled(struct fixture *f)
{
	char path[128];
	unsigned n = 0;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/spool", f->cache);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void is(struct stage *st, const char *text)
{
	char buf[64] = "";
	size_t len = strlen(text);

	assert_int_equal(stage_size(st), len);
	assert_int_equal(stage_read(st, buf, sizeof(buf) - 1, 0), len);
	assert_memory_equal(buf, text, len);
}

static void bytes(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);
	char buf[16];

	is(st, "");
	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	is(st, "hello");
	assert_int_equal(stage_write(st, "world", 5, 3), 0);
	is(st, "helworld");
	assert_int_equal(stage_write(st, "J", 1, 0), 0);
	assert_int_equal(stage_write(st, NULL, 0, 1000), 0);
	is(st, "Jelworld");
	assert_int_equal(stage_read(st, buf, 3, 2), 3);
	assert_memory_equal(buf, "lwo", 3);
	assert_int_equal(stage_read(st, buf, 3, 7), 1);
	assert_int_equal(stage_read(st, buf, 3, 8), 0);
	assert_int_equal(stage_read(st, buf, 3, UINT64_MAX), 0);
	assert_int_equal(stage_truncate(st, 3), 0);
	is(st, "Jel");
	/* What was cut off does not come back. */
	assert_int_equal(stage_truncate(st, 5), 0);
	assert_int_equal(stage_write(st, "x", 1, 7), 0);
	assert_int_equal(stage_read(st, buf, sizeof(buf), 0), 8);
	assert_memory_equal(buf, "Jel\0\0\0\0x", 8);
	used(f, 1, 8);
	assert_int_equal(spooled(f), 0);
	stage_free(st);
	used(f, 0, 0);
	stage_free(NULL);
}

static void sizes(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);
	uint64_t max = (uint64_t)1 << 50;

	assert_int_equal(stage_write(st, "x", 1, max), -EFBIG);
	assert_int_equal(stage_write(st, "xy", 2, max - 1), -EFBIG);
	assert_int_equal(stage_write(st, "x", 1, UINT64_MAX), -EFBIG);
	assert_int_equal(stage_truncate(st, max + 1), -EFBIG);
	is(st, "");
	used(f, 1, 0);
	stage_free(st);
}

/* All together are bounded, and what does not fit leaves all as it was. */
static void limit(void **state)
{
	struct fixture *f = *state;
	struct stage *a = begin(f), *b = begin(f);
	char *much = calloc(1, LIMIT);

	assert_int_equal(stage_write(a, much, LIMIT - 10, 0), 0);
	used(f, 2, LIMIT - 10);
	assert_int_equal(stage_write(b, "0123456789", 10, 0), 0);
	assert_int_equal(stage_write(b, "x", 1, 10), -ENOSPC);
	assert_int_equal(stage_write(b, "xy", 2, 9), -ENOSPC);
	assert_int_equal(stage_truncate(b, 11), -ENOSPC);
	is(b, "0123456789");
	/* Within what there is one may write. */
	assert_int_equal(stage_write(b, "abc", 3, 7), 0);
	is(b, "0123456abc");
	assert_int_equal(stage_truncate(a, 0), 0);
	used(f, 2, 10);
	assert_int_equal(stage_write(b, "x", 1, 10), 0);
	is(b, "0123456abcx");
	/* A hole may be filled one day. */
	assert_int_equal(stage_truncate(a, LIMIT), -ENOSPC);
	assert_int_equal(stage_truncate(a, LIMIT - 11), 0);
	used(f, 2, LIMIT);
	stage_free(a);
	used(f, 1, 11);
	stage_free(b);
	free(much);
}

static void no_limit(void **state)
{
	struct fixture *f = *state;
	struct stage *st;

	store_close(f->s);
	f->cfg.spool_bytes = 0;
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	st = begin(f);
	assert_int_equal(stage_truncate(st, 1000 * LIMIT), 0);
	assert_int_equal(stage_write(st, "x", 1, 10), 0);
	used(f, 1, 1000 * LIMIT);
	stage_free(st);
}

/* The disk has so much left, and gets back what is evicted. */
static void disk(struct fixture *f, uint64_t free_bytes)
{
	measured = f->s;
	measured_from = f->s->bytes;
	small_disk = (long long)free_bytes;
}

static void min_free(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);
	static char buf[64 * 1024];

	disk(f, f->cfg.min_free_bytes + 100 * KIB);
	assert_int_equal(stage_write(st, buf, 64 * KIB, 0), 0);
	disk(f, f->cfg.min_free_bytes + 36 * KIB);
	assert_int_equal(stage_write(st, buf, 64 * KIB, 64 * KIB), -ENOSPC);
	assert_int_equal(stage_size(st), 64 * KIB);
	used(f, 1, 64 * KIB);
	/* It is no failure: with less, or later, it goes on. */
	assert_int_equal(stage_write(st, buf, 36 * KIB, 64 * KIB), 0);
	disk(f, f->cfg.min_free_bytes - 1);
	assert_int_equal(stage_write(st, "x", 1, 0), 0);
	assert_int_equal(stage_write(st, buf, 1, 100 * KIB), -ENOSPC);
	disk(f, f->cfg.min_free_bytes + 64 * KIB);
	assert_int_equal(stage_write(st, buf, 64 * KIB, 100 * KIB), 0);
	used(f, 1, 164 * KIB);
	stage_free(st);
}

static void put_blob(struct fixture *f, uint8_t seed, size_t chunks)
{
	uint8_t *buf = malloc(CHUNK_BYTES);
	struct digest d;
	struct chunks *c;

	digest_of(HASH_SHA256, &seed, 1, &d);
	memset(buf, seed, CHUNK_BYTES);
	assert_int_equal(chunks_open(f->s, &d, chunks * CHUNK_BYTES + 1, &c),
			 0);
	for (size_t i = 0; i < chunks; i++)
		assert_int_equal(chunks_put(c, i, buf, CHUNK_BYTES), 0);
	chunks_close(c);
	free(buf);
}

/* What is cached goes first. */
static void evicts(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);
	static char buf[1 << 20];

	put_blob(f, 1, 4);
	put_blob(f, 2, 4);
	assert_int_equal(f->s->bytes, 8 * CHUNK_BYTES);
	disk(f, f->cfg.min_free_bytes + 10);
	assert_int_equal(stage_write(st, buf, sizeof(buf), 0), 0);
	assert_int_equal(f->s->bytes, 0);
	stage_free(st);
}

static void short_of_disk(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);

	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	fail_fallocate = ENOSPC;
	/* was reserved */
	assert_int_equal(stage_write(st, "world", 5, 5), 0);
	assert_int_equal(stage_write(st, "x", 1, 4096 + 5), -ENOSPC);
	fail_fallocate = EDQUOT;
	assert_int_equal(stage_write(st, "x", 1, 4096 + 5), -ENOSPC);
	fail_fallocate = EFBIG;
	assert_int_equal(stage_write(st, "x", 1, 4096 + 5), -EFBIG);
	is(st, "helloworld");
	used(f, 1, 10);
	fail_fallocate = 0;
	assert_int_equal(stage_write(st, "x", 1, 4096 + 5), 0);
	assert_int_equal(stage_size(st), 4096 + 6);
	stage_free(st);
	st = begin(f);
	fail_fallocate = EIO;
	assert_int_equal(stage_write(st, "x", 1, 0), -EIO);
	fail_fallocate = 0;
	assert_int_equal(stage_write(st, "x", 1, 0), -EIO);
	stage_free(st);
	used(f, 0, 0);
}

/* Where room cannot be reserved, the write itself may find none. */
static void no_reservation(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);

	fail_fallocate = EOPNOTSUPP;
	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	fail_pwrite = ENOSPC;
	assert_int_equal(stage_write(st, "world", 5, 5), -ENOSPC);
	is(st, "hello");
	fail_pwrite = EDQUOT;
	assert_int_equal(stage_write(st, "world", 5, 10), -ENOSPC);
	fail_pwrite = EFBIG;
	assert_int_equal(stage_write(st, "world", 5, 5), -EFBIG);
	is(st, "hello");
	used(f, 1, 5);
	fail_pwrite = 0;
	assert_int_equal(stage_write(st, "world", 5, 5), 0);
	is(st, "helloworld");
	/* Half of what was there is written over: it cannot be put back. */
	fail_pwrite = ENOSPC;
	assert_int_equal(stage_write(st, "spoilt", 6, 2), -EIO);
	fail_pwrite = 0;
	assert_int_equal(stage_write(st, "world", 5, 5), -EIO);
	stage_free(st);
	used(f, 0, 0);
}

static void fails_for_ever(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);
	char c;

	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	fail_pwrite = EIO;
	assert_int_equal(stage_write(st, "world", 5, 5), -EIO);
	fail_pwrite = 0;
	assert_int_equal(stage_write(st, "world", 5, 5), -EIO);
	assert_int_equal(stage_read(st, &c, 1, 0), -EIO);
	assert_int_equal(stage_truncate(st, 0), -EIO);
	used(f, 1, 5);
	stage_free(st);
	st = begin(f);
	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	fail_truncate = EIO;
	assert_int_equal(stage_truncate(st, 2), -EIO);
	fail_truncate = 0;
	assert_int_equal(stage_truncate(st, 5), -EIO);
	stage_free(st);
	st = begin(f);
	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	fail_truncate = EFBIG;
	assert_int_equal(stage_truncate(st, 9), -EFBIG);
	is(st, "hello");
	fail_truncate = ENOSPC;
	assert_int_equal(stage_truncate(st, 9), -ENOSPC);
	fail_truncate = 0;
	used(f, 1, 5);
	stage_free(st);
	used(f, 0, 0);
}

static void cannot_begin(void **state)
{
	static const struct {
		int error, expected;
	} t[] = {
		{EMFILE, -EMFILE}, {ENFILE, -EMFILE}, {ENOMEM, -ENOMEM},
		{ENOSPC, -ENOSPC}, {EDQUOT, -ENOSPC}, {EROFS, -EROFS},
		{EACCES, -EROFS},  {EIO, -EIO},
	};
	struct fixture *f = *state;
	struct stage *st;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		fail_open = t[i].error;
		assert_int_equal(stage_new(f->s, &st), t[i].expected);
	}
	fail_open = 0;
	used(f, 0, 0);
	store_close(f->s);
	f->cfg.dir = NULL;
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	assert_int_equal(stage_new(f->s, &st), -EROFS);
}

static void named(void **state)
{
	struct fixture *f = *state;
	struct stage *a, *b;

	no_tmpfile = true;
	a = begin(f);
	b = begin(f);
	assert_int_equal(stage_write(a, "a", 1, 0), 0);
	assert_int_equal(stage_write(b, "bb", 2, 0), 0);
	is(a, "a");
	is(b, "bb");
	assert_int_equal(spooled(f), 0);
	stage_free(a);
	stage_free(b);
}

/* Of an earlier run nothing is left. */
static void sweeps(void **state)
{
	struct fixture *f = *state;
	char path[128];

	stage_free(begin(f));
	store_close(f->s);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/spool/x%d", f->cache, i);
		close(open(path, O_WRONLY | O_CREAT, 0600));
	}
	assert_int_equal(spooled(f), 3);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	assert_int_equal(spooled(f), 0);
}

/* What is open goes on when the directory was deleted; so does the next. */
static void deleted(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f), *next;

	assert_int_equal(stage_write(st, "hello", 5, 0), 0);
	remove_tree(f->cache);
	assert_int_equal(stage_write(st, "world", 5, 5), 0);
	is(st, "helloworld");
	next = begin(f);
	assert_int_equal(stage_write(next, "x", 1, 0), 0);
	is(next, "x");
	assert_int_equal(spooled(f), 0);
	stage_free(st);
	stage_free(next);
}

static void planted(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct stage *st;

	snprintf(path, sizeof(path), "%s/spool", f->cache);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(stage_new(f->s, &st), -EIO);
}

static void *write_main(void *arg)
{
	struct fixture *f = arg;
	static const char block[16 * 1024];
	struct stage *st;

	for (int round = 0; round < 20; round++) {
		st = begin(f);
		for (uint64_t off = 0; off < 16; off++)
			assert_int_equal(stage_write(st, block, sizeof(block),
						     off * sizeof(block)),
					 0);
		assert_int_equal(stage_truncate(st, 1), 0);
		stage_free(st);
	}
	return NULL;
}

static void *read_main(void *arg)
{
	struct stage *st = arg;
	char buf[256];

	for (uint64_t size = 0; size < 100000;) {
		ssize_t n;

		size = stage_size(st);
		n = stage_read(st, buf, sizeof(buf), size / 2);
		assert_true(n >= 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], 'x');
	}
	return NULL;
}

/* What leaves memory is read from the disk when it is wanted again. */
static void passed(void **state)
{
	struct fixture *f = *state;
	static char buf[MIB], got[MIB];
	struct stage *st;

	store_close(f->s);
	f->cfg.spool_bytes = 0;
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	st = begin(f);
	for (uint64_t i = 0; i < 64; i++) {
		memset(buf, (int)i + 1, sizeof(buf));
		assert_int_equal(stage_write(st, buf, MIB, i * MIB), 0);
		stage_pass(st, (i + 1) * MIB);
	}
	/* An upload that begins anew; a file that is written over. */
	stage_pass(st, 0);
	assert_int_equal(stage_write(st, "x", 1, 7 * MIB), 0);
	stage_pass(st, 64 * MIB);
	for (uint64_t i = 0; i < 64; i++) {
		memset(buf, (int)i + 1, sizeof(buf));
		if (i == 7)
			buf[0] = 'x';
		assert_int_equal(stage_read(st, got, MIB, i * MIB), MIB);
		assert_memory_equal(got, buf, MIB);
	}
	stage_free(st);
}

static void threads(void **state)
{
	struct fixture *f = *state;
	struct stage *st = begin(f);
	pthread_t writers[4], reader;
	char block[1000];

	memset(block, 'x', sizeof(block));
	assert_int_equal(stage_write(st, block, 1, 0), 0);
	pthread_create(&reader, NULL, read_main, st);
	for (int i = 0; i < 4; i++)
		pthread_create(&writers[i], NULL, write_main, f);
	for (uint64_t off = 0; off < 100000; off += sizeof(block))
		assert_int_equal(stage_write(st, block, sizeof(block), off), 0);
	pthread_join(reader, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(writers[i], NULL);
	stage_free(st);
	used(f, 0, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bytes),	   T(sizes),   T(limit),
		T(no_limit),	   T(evicts),  T(min_free),
		T(short_of_disk),  T(named),   T(no_reservation),
		T(fails_for_ever), T(sweeps),  T(cannot_begin),
		T(deleted),	   T(planted), T(passed),
		T(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
