/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a cache directory: who else uses it, whose it is, what is wrong with
 * its database.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
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
#include "store/rows.h"
#include "store/state.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

#define MIB ((uint64_t)1 << 20)
#define N 4
#define SIZE (3 * CHUNK_BYTES + 500)
#define DOCUMENTS 40

/* No test loses power: not waiting for the disk makes them fast. */
int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

struct fixture {
	char dir[64], cache[80], db[96];
	struct store_config cfg;
	uint8_t *bytes;
	struct digest d;
};

static void remove_tree(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cache, sizeof(f->cache), "%s/c", f->dir);
	snprintf(f->db, sizeof(f->db), "%s/meta.db", f->cache);
	f->cfg =
		(struct store_config){.dir = f->cache, .size_bytes = 100 * MIB};
	f->bytes = malloc(SIZE);
	for (size_t i = 0; i < SIZE; i++)
		f->bytes[i] = (uint8_t)(i * 7 + i / 256);
	digest_of(HASH_SHA256, f->bytes, SIZE, &f->d);
	log_set_level((enum log_level) - 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	remove_tree(f->dir);
	free(f->bytes);
	free(f);
	return 0;
}

static struct store *must_open(struct fixture *f)
{
	struct store *s = NULL;

	assert_int_equal(store_open(&f->cfg, &s, NULL), 0);
	return s;
}

static void put_blob(struct fixture *f, struct store *s)
{
	struct chunks *c = NULL;

	assert_int_equal(chunks_open(s, &f->d, SIZE, &c), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(
			chunks_put(c, i, f->bytes + i * CHUNK_BYTES,
				   i == N - 1 ? SIZE - (N - 1) * CHUNK_BYTES
					      : CHUNK_BYTES),
			0);
	assert_true(chunks_verified(c));
	chunks_close(c);
}

static size_t count_bad(struct fixture *f)
{
	DIR *d = opendir(f->cache);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += str_prefix(e->d_name, "meta.db.bad-") &&
		     !str_suffix(e->d_name, "-wal");
	closedir(d);
	return n;
}

static int ignore(void *arg, const char *name)
{
	*(size_t *)arg += strlen(name);
	return 0;
}

/* As a daemon: opened before the fork, used after it, until stop is closed. */
static void daemonise(struct fixture *f, int tell, int stop)
{
	struct store *s = NULL;
	pid_t pid;
	bool good;

	if (store_open(&f->cfg, &s, NULL) < 0)
		_exit(1);
	if (fork() > 0)
		_exit(0);
	pid = getpid();
	good = store_start(s) == 0 && repository_seen(s, "h", "r") == 0;
	pid = good ? pid : -1;
	if (write(tell, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	while (read(stop, &(char){0}, 1) > 0)
		continue;
	store_close(s);
	_exit(0);
}

static void test_room(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f);

	/* Its size, where the disk has more. */
	f->cfg.size_bytes = MIB;
	store_close(s);
	s = must_open(f);
	assert_int_equal(store_room(s), MIB);
	store_close(s);
	/* What is to be left free is nobody's. */
	f->cfg.size_bytes = UINT64_MAX / 2;
	f->cfg.min_free_bytes = UINT64_MAX / 2;
	s = must_open(f);
	assert_int_equal(store_room(s), 0);
	store_close(s);
	f->cfg.min_free_bytes = MIB;
	s = must_open(f);
	assert_in_range(store_room(s), 1, UINT64_MAX / 2 - 1);
	store_close(s);
	f->cfg.dir = NULL;
	s = must_open(f);
	assert_int_equal(store_room(s), 0);
	store_close(s);
}

static void test_two_daemons(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f), *other = NULL;
	int pid = 0, tell[2], stop[2];
	pid_t child, daemon_pid = 0;
	size_t len = 0;

	assert_int_equal(store_open(&f->cfg, &other, &pid), -EBUSY);
	assert_int_equal(pid, getpid());
	assert_int_equal(store_open(&f->cfg, &other, NULL), -EBUSY);
	assert_null(other);
	store_close(s);

	assert_int_equal(pipe(tell), 0);
	assert_int_equal(pipe(stop), 0);
	child = fork();
	if (child == 0) {
		close(stop[1]);
		daemonise(f, tell[1], stop[0]);
	}
	close(tell[1]);
	close(stop[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(tell[0], &daemon_pid, sizeof(daemon_pid)),
			 sizeof(daemon_pid));
	assert_int_equal(store_open(&f->cfg, &other, &pid), -EBUSY);
	assert_int_equal(pid, daemon_pid);
	close(stop[1]);
	for (int i = 0; i < 1000; i++) {
		if (store_open(&f->cfg, &other, NULL) == 0)
			break;
		usleep(2000);
	}
	close(tell[0]);
	assert_non_null(other);
	assert_false(db_unclean(other->db));
	assert_int_equal(repository_each(other, "h", ignore, &len), 0);
	assert_int_equal(len, 1);
	store_close(other);
}

static void test_private(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f), *other = NULL;
	char link[96];
	struct stat st;

	store_close(s);
	assert_int_equal(stat(f->cache, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(chmod(f->cache, 0720), 0);
	assert_int_equal(store_open(&f->cfg, &other, NULL), -EPERM);
	assert_int_equal(chmod(f->cache, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", f->dir);
	assert_int_equal(symlink(f->cache, link), 0);
	f->cfg.dir = link;
	assert_int_equal(store_open(&f->cfg, &other, NULL), -ELOOP);
	/* A lock that leads elsewhere. */
	f->cfg.dir = f->cache;
	snprintf(link, sizeof(link), "%s/lock", f->cache);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("/dev/null", link), 0);
	assert_int_equal(store_open(&f->cfg, &other, NULL), -ELOOP);
}

static void test_unusable(void **state)
{
	static const char *const dirs[] = {NULL, "/proc/registryfs"};
	struct fixture *f = *state;
	struct store_stats st;
	struct store *s;
	char *body = NULL;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		f->cfg.dir = dirs[i];
		s = must_open(f);
		assert_int_equal(store_start(s), 0);
		put_blob(f, s);
		assert_int_equal(list_put(s, "k", "v", 1), 0);
		assert_int_equal(list_get(s, "k", NULL, &body, &len), 0);
		free(body);
		assert_int_equal(store_maintain(s), 0);
		assert_int_equal(store_stats(s, &st), 0);
		assert_true(st.in_memory);
		assert_int_equal(st.bytes, 0);
		store_close(s);
	}
}

static void test_foreign_database(void **state)
{
	static const char *const foreign[] = {
		"CREATE TABLE other(x)",
		"DROP TABLE tag",
		"PRAGMA user_version=2",
		"PRAGMA application_id=5",
		"CREATE TRIGGER t AFTER INSERT ON tag BEGIN SELECT 1; END",
		"CREATE VIEW v AS SELECT 1",
		"ALTER TABLE tag ADD COLUMN x",
	};
	struct fixture *f = *state;
	struct store *s;
	char *body = NULL;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
		s = must_open(f);
		assert_int_equal(list_put(s, "k", "v", 1), 0);
		db_lock(s->db);
		assert_int_equal(db_exec(s->db, foreign[i]), 0);
		db_unlock(s->db);
		store_close(s);
		s = must_open(f);
		assert_int_equal(list_get(s, "k", NULL, &body, &len), -ENOENT);
		assert_false(s->dirfd < 0);
		/* Only the newest bad one is kept. */
		assert_int_equal(count_bad(f), 1);
		put_blob(f, s);
		store_close(s);
	}
	/* No regular file. */
	assert_int_equal(unlink(f->db), 0);
	assert_int_equal(mkdir(f->db, 0700), 0);
	store_close(must_open(f));
	assert_int_equal(unlink(f->db), 0);
	assert_int_equal(symlink("/etc/passwd", f->db), 0);
	store_close(must_open(f));
}

static void write_file(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, bytes, len), 0);
	close(fd);
}

static struct digest document(unsigned int i, char text[64])
{
	struct digest d;

	snprintf(text, 64, "{\"document\": %u, \"padding\": \"%030u\"}", i, i);
	digest_of(HASH_SHA256, text, strlen(text), &d);
	return d;
}

static void fill_store(struct fixture *f, struct store *s)
{
	struct tag_row row = {.size_bytes = 5, .wall = 1900000000};
	struct grant_row grant = {.kind = GRANT_BLOB};
	char text[64], name[16];

	put_blob(f, s);
	for (unsigned int i = 0; i < DOCUMENTS; i++) {
		row.digest = grant.digest = document(i, text);
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(
			document_put(s, &row.digest, "t/t", text, strlen(text)),
			0);
		assert_int_equal(tag_put(s, "h", "r", "", name, &row), 0);
		assert_int_equal(grant_put(s, "h", "r", "", &grant), 0);
		assert_int_equal(list_put(s, name, text, strlen(text)), 0);
		assert_int_equal(repository_seen(s, "h", name), 0);
	}
}

static bool fine(int r)
{
	return r == 0 || r == -ENOENT || r == -EIO;
}

/* Everything may be gone, nothing may be wrong. */
static void use_store(struct fixture *f, struct store *s)
{
	char text[64], *body = NULL;
	struct chunks *c = NULL;
	uint8_t buf[CHUNK_BYTES];
	struct store_stats st;
	struct tag_row row;
	size_t len = 0;

	for (unsigned int i = 0; i < DOCUMENTS; i++) {
		struct digest d = document(i, text);
		int r = document_get(s, &d, NULL, &body, &len);

		assert_true(fine(r));
		if (r < 0)
			continue;
		assert_string_equal(body, text);
		free(body);
	}
	assert_true(fine(tag_get(s, "h", "r", "", "7", &row)));
	assert_true(fine(tag_each(s, "h", "r", "", ignore, &len)));
	assert_true(fine(repository_each(s, "h", ignore, &len)));
	assert_true(fine(host_each(s, ignore, &len)));
	assert_true(fine(store_stats(s, &st)));
	assert_int_equal(chunks_open(s, &f->d, SIZE, &c), 0);
	for (size_t i = 0; i < N; i++) {
		ssize_t n;

		if (!chunks_ready(c, i, false))
			continue;
		n = chunks_read(c, buf, CHUNK_BYTES, i * CHUNK_BYTES);
		assert_true(n > 0);
		assert_memory_equal(buf, f->bytes + i * CHUNK_BYTES, (size_t)n);
	}
	chunks_close(c);
	put_blob(f, s);
	assert_true(fine(list_put(s, "new", "v", 1)));
	assert_true(fine(store_maintain(s)));
}

static size_t mutate(unsigned int k, const char *good, char *bad, size_t len)
{
	unsigned int seed = k + 1;
	size_t pages = len / 4096;

	memcpy(bad, good, len);
	switch (k % 5) {
	case 0: /* a few bits, anywhere */
	case 1:
		for (int i = 0; i < 8; i++)
			bad[(size_t)rand_r(&seed) % len] ^=
				(char)(1 << rand_r(&seed) % 8);
		return len;
	case 2: /* cut */
		return (size_t)rand_r(&seed) % len;
	case 3: /* a page of zeros */
		memset(bad + (size_t)rand_r(&seed) % pages * 4096, 0, 4096);
		return len;
	default: /* pages swapped, a header bit */
		memcpy(bad + (size_t)rand_r(&seed) % pages * 4096,
		       good + (size_t)rand_r(&seed) % pages * 4096, 4096);
		bad[rand_r(&seed) % 100] ^= (char)(1 << rand_r(&seed) % 8);
		return len;
	}
}

static void test_mutants(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f);
	char *good = NULL, *bad, file[96], saved[96];
	size_t len = 0;

	fill_store(f, s);
	store_close(s);
	assert_int_equal(fd_read_file(AT_FDCWD, f->db, MIB, &good, &len), 0);
	bad = malloc(len);
	snprintf(file, sizeof(file), "%s/blobs", f->cache);
	snprintf(saved, sizeof(saved), "%s/blobs", f->dir);
	assert_int_equal(rename(file, saved), 0);
	for (unsigned int k = 0; k < 60; k++) {
		size_t n = mutate(k, good, bad, len);
		char command[256];

		remove_tree(f->cache);
		assert_int_equal(mkdir(f->cache, 0700), 0);
		snprintf(command, sizeof(command), "%s/blobs", f->cache);
		if (fork() == 0) {
			execl("/bin/cp", "cp", "-r", saved, command,
			      (char *)NULL);
			_exit(127);
		}
		wait(NULL);
		write_file(f->db, bad, n);
		s = must_open(f);
		use_store(f, s);
		store_close(s);
		/* And whatever happened, it is sound now. */
		s = must_open(f);
		assert_false(s->dirfd < 0);
		use_store(f, s);
		store_close(s);
	}
	free(good);
	free(bad);
}

/* After an unclean stop the whole database is looked at. */
static void test_unclean(void **state)
{
	struct fixture *f = *state;
	char zero[4096] = {0};
	struct db *db = NULL;
	struct store *s;
	struct stat st;
	pid_t pid;
	int fd;

	pid = fork();
	if (pid == 0) {
		s = must_open(f);
		fill_store(f, s);
		db_lock(s->db);
		db_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)");
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	fd = open(f->db, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, zero, 4096, st.st_size - 4096), 4096);
	close(fd);
	/* No statement has come across it yet. */
	assert_int_equal(db_open(f->db, &db), 0);
	assert_int_equal(count_bad(f), 1);
	db_close(db);
	s = must_open(f);
	use_store(f, s);
	store_close(s);
}

/* Damage that only shows while running: set aside once, then on in memory. */
static void test_damage_while_running(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f);
	struct digest d;
	struct chunks *c = NULL;
	uint64_t generation = db_generation(s->db);
	char text[64];

	fill_store(f, s);
	d = document(3, text);
	for (int round = 0; round < 3; round++) {
		db_lock(s->db);
		db_error(s->db, 11 /* SQLITE_CORRUPT */);
		db_unlock(s->db);
		assert_int_equal(db_generation(s->db), ++generation);
		assert_int_equal(document_get(s, &d, NULL, &(char *){NULL},
					      &(size_t){0}),
				 -ENOENT);
		assert_int_equal(document_put(s, &d, "t", text, strlen(text)),
				 0);
		assert_int_equal(count_bad(f), 1);
	}
	/* The blob that is open is saved again; nothing is lost but rows. */
	assert_int_equal(store_maintain(s), 0);
	assert_int_equal(chunks_open(s, &f->d, SIZE, &c), 0);
	assert_int_equal(chunks_present(c), N);
	assert_true(chunks_ready(c, 0, true));
	chunks_close(c);
	store_close(s);
	s = must_open(f);
	use_store(f, s);
	store_close(s);
}

/* The rows of a blob that is not open are lost: so is its file. */
static void test_orphans(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f);
	char hex[129], path[320];

	put_blob(f, s);
	digest_hex(&f->d, hex);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%.2s/%s", f->cache, hex,
		 hex);
	store_close(s);
	assert_int_equal(access(path, F_OK), 0);
	s = must_open(f);
	assert_int_equal(s->bytes, SIZE);
	assert_int_equal(access(path, F_OK), 0);
	db_lock(s->db);
	db_error(s->db, 11 /* SQLITE_CORRUPT */);
	db_unlock(s->db);
	assert_int_equal(store_maintain(s), 0);
	assert_int_equal(s->bytes, 0);
	assert_int_not_equal(access(path, F_OK), 0);
	put_blob(f, s);
	store_close(s);
	/* Deleted between two runs. */
	assert_int_equal(unlink(f->db), 0);
	s = must_open(f);
	assert_int_equal(s->bytes, 0);
	assert_int_not_equal(access(path, F_OK), 0);
	store_close(s);
}

static void test_janitor(void **state)
{
	struct fixture *f = *state;
	struct store *s = must_open(f);
	struct blob_row row = {0};
	int r = -ENOENT;

	put_blob(f, s);
	assert_int_equal(blob_get(s, &f->d, &row), -ENOENT);
	assert_int_equal(store_start(s), 0);
	assert_int_equal(store_start(s), 0);
	for (int i = 0; i < 400 && r == -ENOENT; i++) {
		usleep(10000);
		r = blob_get(s, &f->d, &row);
	}
	assert_int_equal(r, 0);
	assert_int_equal(row.bytes, SIZE);
	store_close(s);
	store_close(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_room),	 T(test_room),	   T(test_two_daemons),
		T(test_private), T(test_unusable), T(test_foreign_database),
		T(test_mutants), T(test_unclean),  T(test_damage_while_running),
		T(test_orphans), T(test_janitor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
