/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs on disk: restarts, crashes, damage, disks that are full. */
#include "chunk-fixture.h"

static void test_restart(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);
	struct store_stats st;

	put_all(c, f->bytes);
	chunks_close(c);
	reopen(f);
	assert_int_equal(store_stats(f->s, &st), 0);
	assert_int_equal(st.blobs, 1);
	assert_int_equal(st.verified_blobs, 1);
	assert_int_equal(st.bytes, SIZE);
	assert_false(st.in_memory);
	c = open_blob(f);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), N);
	check_all(c, f->bytes, true);
	chunks_close(c);

	/* A byte in the middle, and the last one: found on first use. */
	store_close(f->s);
	flip(f->path, 2 * CHUNK_BYTES + 99);
	flip(f->path, SIZE - 1);
	open_store(f);
	c = open_blob(f);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(chunks_ready(c, i, false), i != 2 && i != 6);
	assert_int_equal(chunks_present(c), N - 2);
	assert_int_equal(put(c, f->bytes, 2), 0);
	assert_int_equal(put(c, f->bytes, 6), 0);
	check_all(c, f->bytes, true);
	chunks_close(c);
}

/* The frontier goes on after a restart without reading what is before it. */
static void test_frontier_restart(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(put(c, f->bytes, i), 0);
	assert_int_equal(put(c, f->bytes, 5), 0);
	chunks_close(c);
	store_close(f->s);
	flip(f->path, CHUNK_BYTES + 3);
	open_store(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 5);
	assert_int_equal(put(c, f->bytes, 4), 0);
	assert_int_equal(put(c, f->bytes, 6), 0);
	assert_true(chunks_verified(c));
	assert_false(chunks_ready(c, 1, false));
	assert_true(chunks_ready(c, 0, false));
	assert_int_equal(put(c, f->bytes, 1), 0);
	check_all(c, f->bytes, true);
	chunks_close(c);

	/* Damage behind the frontier is found at the end. */
	digest_of(HASH_SHA512, f->bytes, SIZE, &f->d);
	blob_path(f, &f->d, f->path, sizeof(f->path));
	c = open_blob(f);
	assert_int_equal(put(c, f->bytes, 0), 0);
	assert_int_equal(put(c, f->bytes, 3), 0);
	chunks_close(c);
	store_close(f->s);
	flip(f->path, 3 * CHUNK_BYTES + 3);
	open_store(f);
	c = open_blob(f);
	assert_true(chunks_ready(c, 3, false));
	assert_false(chunks_ready(c, 3, true));
	for (size_t i = 0; i < N - 1; i++)
		assert_int_equal(put(c, f->bytes, i), 0);
	assert_int_equal(put(c, f->bytes, N - 1), -EBADMSG);
	assert_int_equal(chunks_present(c), 0);
	put_all(c, f->bytes);
	chunks_close(c);
}

static void test_file_damage(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);
	uint8_t buf[16];
	int fd;

	/* No states for any of them. */
	for (size_t i = 2; i < N; i++)
		assert_int_equal(put(c, f->bytes, i), 0);
	chunks_close(c);
	store_close(f->s);
	fd = open(f->path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(blobfile_punch(fd, 3 * CHUNK_BYTES + 8192, 8192), 0);
	assert_int_equal(ftruncate(fd, 5 * CHUNK_BYTES + 100), 0);
	close(fd);
	open_store(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 3);
	assert_true(chunks_ready(c, 2, false));
	assert_false(chunks_ready(c, 3, false)); /* a hole */
	assert_true(chunks_ready(c, 4, false));
	assert_false(chunks_ready(c, 5, false)); /* cut */
	assert_false(chunks_ready(c, 6, false));
	/* Cut while open. */
	assert_int_equal(truncate(f->path, 4 * CHUNK_BYTES + 1), 0);
	assert_int_equal(chunks_read(c, buf, 16, 4 * CHUNK_BYTES + 5),
			 -ENODATA);
	assert_false(chunks_ready(c, 4, false));
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);

	/* Gone altogether. */
	store_close(f->s);
	assert_int_equal(unlink(f->path), 0);
	open_store(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 0);
	assert_true(chunks_verified(c));
	put_all(c, f->bytes);
	chunks_close(c);
}

static void test_symlink(void **state)
{
	struct fixture *f = *state;
	char victim[80];
	struct chunks *c = open_blob(f);
	struct stat st;

	put_all(c, f->bytes);
	chunks_close(c);
	store_close(f->s);
	snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	assert_int_equal(rename(f->path, victim), 0);
	assert_int_equal(symlink(victim, f->path), 0);
	assert_int_equal(truncate(victim, SIZE), 0);
	open_store(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 0);
	put_all(c, f->bytes); /* in memory */
	check_all(c, f->bytes, true);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(f->s->bytes, 0);
	chunks_close(c);
}

/* A process that dies leaves what it had synced, and nothing that is wrong. */
static void test_crash(void **state)
{
	struct fixture *f = *state;
	struct chunks *c;
	pid_t pid;
	int status;

	store_close(f->s);
	pid = fork();
	if (pid == 0) {
		int r = store_open(&f->cfg, &f->s, NULL);

		r |= chunks_open(f->s, &f->d, SIZE, &c);
		for (size_t i = 0; i < 3; i++)
			r |= put(c, f->bytes, i);
		r |= store_maintain(f->s);
		r |= put(c, f->bytes, 3);
		r |= put(c, f->bytes, 5);
		_exit(r ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_store(f);
	assert_true(db_unclean(f->s->db));
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 3);
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);

	/* Never synced at all: the file is swept away. */
	digest_of(HASH_SHA512, f->bytes, SIZE, &f->d);
	blob_path(f, &f->d, f->path, sizeof(f->path));
	store_close(f->s);
	pid = fork();
	if (pid == 0) {
		int r = store_open(&f->cfg, &f->s, NULL);

		r |= chunks_open(f->s, &f->d, SIZE, &c);
		r |= put(c, f->bytes, 3);
		_exit(r ? 1 : access(f->path, F_OK) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_store(f);
	assert_int_not_equal(access(f->path, F_OK), 0);
}

/* What was written after the last save is not accounted for: it is punched. */
static void test_crash_space(void **state)
{
	struct fixture *f = *state;
	size_t n = 12, size = n * CHUNK_BYTES;
	uint8_t *bytes = malloc(size);
	struct chunks *c;
	struct stat st;
	int status;
	pid_t pid;

	fill(bytes, size, 9);
	digest_of(HASH_SHA256, bytes, size, &f->d);
	blob_path(f, &f->d, f->path, sizeof(f->path));
	store_close(f->s);
	pid = fork();
	if (pid == 0) {
		int r = store_open(&f->cfg, &f->s, NULL);

		r |= chunks_open(f->s, &f->d, size, &c);
		r |= put(c, bytes, 5);
		r |= store_maintain(f->s);
		for (size_t i = 0; i < n - 1; i++)
			r |= put(c, bytes, i);
		_exit(r ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 > 8 * CHUNK_BYTES);
	open_store(f);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 <= CHUNK_BYTES + 65536);
	assert_int_equal(f->s->bytes, CHUNK_BYTES);
	assert_int_equal(chunks_open(f->s, &f->d, size, &c), 0);
	assert_int_equal(chunks_present(c), 1);
	put_all(c, bytes);
	check_all(c, bytes, true);
	chunks_close(c);
	free(bytes);
}

/* Rows that were changed behind our back are as good as absent. */
static void test_damaged_rows(void **state)
{
	static const char *const damages[] = {
		"UPDATE map SET bits=x'ff'||zeroblob(511)",
		"UPDATE map SET bits=CAST(x'ff'||zeroblob(511) AS BLOB)",
		"UPDATE map SET segment=segment+1",
		"UPDATE map SET segment=1000000",
		"UPDATE map SET bits='text'",
		"UPDATE states SET states=zeroblob(length(states))",
		"UPDATE states SET states=CAST(substr(states,1,70) AS BLOB)",
		"UPDATE states SET sum=zeroblob(16)",
		"UPDATE states SET sum=x''",
		"UPDATE states SET segment=3",
		"UPDATE states SET blob=blob+1",
		"UPDATE blob SET bytes=-1",
		"UPDATE blob SET bytes=1000000000000000000",
		"UPDATE blob SET used=-5",
		"UPDATE blob SET digest=x'0011'",
		"UPDATE blob SET size=5",
	};
	struct fixture *f = *state;
	uint8_t *buf = malloc(SIZE);

	for (size_t k = 0; k < sizeof(damages) / sizeof(*damages); k++) {
		struct chunks *c = open_blob(f);
		bool map = strstr(damages[k], "map") != NULL;

		put_all(c, f->bytes);
		assert_int_equal(chunks_drop(c), 0);
		for (size_t i = 2; i < N; i++)
			assert_int_equal(put(c, f->bytes, i), 0);
		chunks_close(c);
		store_maintain(f->s);
		pthread_mutex_lock(&f->s->saving);
		chunk_release_idle(f->s, 0, true);
		pthread_mutex_unlock(&f->s->saving);
		db_lock(f->s->db);
		assert_int_equal(db_exec(f->s->db, damages[k]), 0);
		db_unlock(f->s->db);
		log_set_level((enum log_level) - 1);
		reopen(f);
		c = open_blob(f);
		if (map)
			assert_int_equal(chunks_present(c), 0);
		else
			assert_false(chunks_verified(c));
		for (size_t i = 0; i < N; i++) {
			ssize_t n;

			if (!chunks_ready(c, i, false))
				continue;
			n = chunks_read(c, buf, CHUNK_BYTES, i * CHUNK_BYTES);
			assert_true(n > 0);
			assert_memory_equal(buf, f->bytes + i * CHUNK_BYTES,
					    (size_t)n);
		}
		put_all(c, f->bytes);
		check_all(c, f->bytes, true);
		chunks_close(c);
	}
	free(buf);
}

/* A map that has everything, of a blob that was never verified. */
static void test_whole_but_unverified(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);

	for (size_t i = 1; i < N - 1; i++)
		assert_int_equal(put(c, f->bytes, i), 0);
	assert_int_equal(truncate(f->path, SIZE), 0);
	pthread_mutex_lock(&f->s->lock);
	chunk_mark(c, 0);
	chunk_mark(c, N - 1);
	pthread_mutex_unlock(&f->s->lock);
	chunks_close(c);
	reopen(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), N - 1);
	assert_true(chunks_present(c) < chunks_count(c));
	assert_false(chunks_ready(c, 0, false)); /* a hole */
	assert_false(chunks_ready(c, N - 1, false));
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);
}

/* What eviction takes is off the map on disk before it is off the disk. */
static void test_crash_after_evict(void **state)
{
	struct fixture *f = *state;
	struct chunks *c;
	int status;
	pid_t pid;

	store_close(f->s);
	pid = fork();
	if (pid == 0) {
		int r = store_open(&f->cfg, &f->s, NULL);

		r |= chunks_open(f->s, &f->d, SIZE, &c);
		for (size_t i = 0; i < N; i++)
			r |= put(c, f->bytes, i);
		r |= store_maintain(f->s);
		evict_to(f->s, 2 * CHUNK_BYTES, clock_ms() + 5000, true);
		_exit(r || c->map.present != 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_store(f);
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 2);
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);
}

static void test_disk_limit(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;
	struct chunks *c = open_blob(f);

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 3 * CHUNK_BYTES;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	assert_int_equal(f->s->bytes, 3 * CHUNK_BYTES);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	chunks_close(c);
	reopen(f);
	/* What was in memory is gone, the rest is as good as ever. */
	c = open_blob(f);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), 3);
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);
}

static void test_disk_full(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f), *other = NULL;
	struct digest d;

	/* Another blob makes room. */
	digest_of(HASH_SHA256, f->bytes, 2 * CHUNK_BYTES, &d);
	assert_int_equal(chunks_open(f->s, &d, 2 * CHUNK_BYTES, &other), 0);
	put_all(other, f->bytes);
	chunks_close(other);
	pthread_mutex_lock(&f->s->saving);
	chunk_release_idle(f->s, 0, true);
	pthread_mutex_unlock(&f->s->saving);
	assert_int_equal(f->s->bytes, 2 * CHUNK_BYTES);
	atomic_store(&fail_pwrite, 1);
	assert_int_equal(put(c, f->bytes, 0), 0);
	assert_int_equal(f->s->bytes, CHUNK_BYTES);
	assert_int_equal(f->s->evicted_bytes, 2 * CHUNK_BYTES);
	assert_false(chunkmap_test(&c->map, CHUNK_SPILLED, 0));

	/* Nothing left to evict: memory. */
	atomic_store(&fail_pwrite, 100);
	put_all(c, f->bytes);
	atomic_store(&fail_pwrite, 0);
	assert_true(chunkmap_test(&c->map, CHUNK_SPILLED, 3));
	check_all(c, f->bytes, true);
	assert_int_equal(chunks_drop(c), 0);
	assert_int_equal(f->s->bytes, 0);
	put_all(c, f->bytes);
	assert_int_equal(f->s->bytes, SIZE);
	chunks_close(c);
}

static void test_sync_fails(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f);

	assert_int_equal(put(c, f->bytes, 0), 0);
	assert_int_equal(store_maintain(f->s), 0);
	assert_int_equal(put(c, f->bytes, 1), 0);
	assert_int_equal(put(c, f->bytes, 4), 0);
	log_set_level(LOG_LEVEL_ERROR);
	atomic_store(&fail_datasync, true);
	assert_int_equal(store_maintain(f->s), -EIO);
	atomic_store(&fail_datasync, false);
	assert_true(chunks_ready(c, 0, false));
	assert_false(chunks_ready(c, 1, false));
	assert_false(chunks_ready(c, 4, false));
	assert_int_equal(f->s->bytes, CHUNK_BYTES);
	put_all(c, f->bytes);
	assert_int_equal(store_maintain(f->s), 0);
	chunks_close(c);
	reopen(f);
	c = open_blob(f);
	check_all(c, f->bytes, true);
	chunks_close(c);
}

static void test_in_memory(void **state)
{
	struct fixture *f = *state;
	size_t n = SPILL_CHUNKS + 5, size = n * CHUNK_BYTES;
	uint8_t *bytes = malloc(size), *buf = malloc(CHUNK_BYTES);
	struct chunks *c = NULL;
	struct store_stats st;
	struct digest d;

	store_close(f->s);
	f->cfg.dir = NULL;
	open_store(f);
	/* What was wrong does not come back. */
	log_set_level((enum log_level) - 1);
	c = open_blob(f);
	f->bytes[9] ^= 1;
	for (size_t i = 0; i < N; i++)
		assert_int_equal(put(c, f->bytes, i),
				 i == N - 1 ? -EBADMSG : 0);
	f->bytes[9] ^= 1;
	put_all(c, f->bytes);
	check_all(c, f->bytes, true);
	chunks_close(c);
	reopen(f);
	fill(bytes, size, 3);
	digest_of(HASH_SHA256, bytes, size, &d);
	assert_int_equal(chunks_open(f->s, &d, size, &c), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(put(c, bytes, i), 0);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), SPILL_CHUNKS);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(chunks_ready(c, i, true), i >= 5);
		assert_int_equal(
			chunks_read(c, buf, CHUNK_BYTES, i * CHUNK_BYTES),
			i >= 5 ? (ssize_t)CHUNK_BYTES : -ENODATA);
		if (i >= 5)
			assert_memory_equal(buf, bytes + i * CHUNK_BYTES,
					    CHUNK_BYTES);
	}
	/* States work here as well. */
	bytes[0] ^= 1;
	assert_int_equal(put(c, bytes, 0), -EBADMSG);
	bytes[0] ^= 1;
	assert_int_equal(put(c, bytes, 0), 0);
	assert_int_equal(store_maintain(f->s), 0);
	assert_int_equal(store_stats(f->s, &st), 0);
	assert_true(st.in_memory);
	assert_int_equal(st.bytes, 0);
	chunks_close(c);
	free(bytes);
	free(buf);
}

static void test_directory_deleted(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = open_blob(f), *other = NULL;
	char lock[96], path[320];
	struct digest d;

	snprintf(lock, sizeof(lock), "%s/lock", f->cfg.dir);
	put_all(c, f->bytes);
	assert_int_equal(store_maintain(f->s), 0);
	remove_tree(f->cfg.dir);
	assert_int_equal(store_maintain(f->s), 0);
	assert_int_equal(access(lock, F_OK), 0);
	remove_tree(f->cfg.dir);
	check_all(c, f->bytes, true);
	/* A new blob makes the directory anew. */
	digest_of(HASH_SHA256, f->bytes, 2 * CHUNK_BYTES, &d);
	assert_int_equal(chunks_open(f->s, &d, 2 * CHUNK_BYTES, &other), 0);
	put_all(other, f->bytes);
	check_all(other, f->bytes, true);
	blob_path(f, &d, path, sizeof(path));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(lock, F_OK), 0);
	assert_int_equal(store_maintain(f->s), 0);
	assert_int_equal(store_open(&f->cfg, &(struct store *){NULL}, NULL),
			 -EBUSY);
	chunks_close(other);
	chunks_close(c);
	reopen(f);
	assert_int_equal(chunks_open(f->s, &d, 2 * CHUNK_BYTES, &other), 0);
	check_all(other, f->bytes, true);
	chunks_close(other);
	/* The other one's file was the deleted one: nothing is invented. */
	c = open_blob(f);
	assert_int_equal(chunks_present(c), 0);
	chunks_close(c);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_restart),
		T(test_frontier_restart),
		T(test_file_damage),
		T(test_symlink),
		T(test_crash),
		T(test_crash_space),
		T(test_damaged_rows),
		T(test_whole_but_unverified),
		T(test_crash_after_evict),
		T(test_disk_limit),
		T(test_disk_full),
		T(test_sync_fails),
		T(test_in_memory),
		T(test_directory_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
