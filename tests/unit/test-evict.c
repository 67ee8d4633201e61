/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes first when there is no room, and that it stays bounded. */
#include "store-fixture.h"

#include <sys/stat.h>

#include "util/clock.h"

#define MIB ((uint64_t)1 << 20)
#define SLACK (32 * MIB)

/* Chunk i of blob `which`: told apart by its first bytes, zero otherwise. */
static void make_chunk(uint8_t *buf, size_t which, size_t i)
{
	size_t head[2] = {which, i};

	memcpy(buf, head, sizeof(head));
}

static struct digest make_digest(size_t which, size_t n)
{
	uint8_t *buf = calloc(1, CHUNK_BYTES);
	struct digest d = {.alg = HASH_SHA256};
	struct hash h;

	hash_init(&h, HASH_SHA256);
	for (size_t i = 0; i < n; i++) {
		make_chunk(buf, which, i);
		hash_update(&h, buf, CHUNK_BYTES);
	}
	hash_final(&h, d.raw);
	free(buf);
	return d;
}

static int put(struct chunks *c, size_t which, size_t i)
{
	static uint8_t buf[CHUNK_BYTES];

	make_chunk(buf, which, i);
	return chunks_put(c, i, buf, CHUNK_BYTES);
}

static bool right(struct chunks *c, size_t which, size_t i)
{
	size_t head[2];

	return chunks_ready(c, i, false) &&
	       chunks_read(c, head, sizeof(head), i * CHUNK_BYTES) ==
		       sizeof(head) &&
	       head[0] == which && head[1] == i;
}

static struct chunks *make_blob(struct fixture *f, size_t which, size_t n)
{
	struct digest d = make_digest(which, n);
	struct chunks *c = NULL;

	assert_int_equal(chunks_open(f->s, &d, n * CHUNK_BYTES, &c), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(put(c, which, i), 0);
	assert_true(chunks_verified(c));
	return c;
}

static void release_idle(struct fixture *f)
{
	pthread_mutex_lock(&f->s->saving);
	chunk_release_idle(f->s, 0, true);
	pthread_mutex_unlock(&f->s->saving);
}

static uint64_t disk_bytes(struct fixture *f, struct chunks *c)
{
	char path[320], hex[129];
	struct stat st;

	digest_hex(&c->digest, hex);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%.2s/%s", f->cache, hex,
		 hex);
	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

static void test_target(void **state)
{
	static const struct {
		uint64_t bytes, size, free, min_free, target;
	} rows[] = {
		{100, 160, 1000, 10, 100},
		{160, 160, 1000, 10, 160},
		{161, 160, 1000, 10, 150},
		{100, 160, 5, 10, 95},
		{100, 160, 0, 1000, 0},
		{200, 160, 5, 100, 105},
		{200, 160, 95, 100, 150},
		{0, 160, 5, 100, 0},
		{5, 0, 100, 0, 0},
		{2048 * MIB, 1600 * MIB, UINT64_MAX, 0, 1536 * MIB},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(evict_target(rows[i].bytes, rows[i].size,
					      rows[i].free, rows[i].min_free),
				 rows[i].target);
}

static void test_recent(void **state)
{
	struct digest d = {.alg = HASH_SHA256};
	struct chunkmap m;

	(void)state;
	assert_int_equal(chunkmap_init(&m, &d, 10 * CHUNK_BYTES), 0);
	chunkmap_touch(&m, 1, 10000);
	chunkmap_touch(&m, 2, 10900);
	assert_true(chunkmap_recent(&m, 1, 10999));
	assert_false(chunkmap_recent(&m, 3, 10000));
	chunkmap_touch(&m, 3, 11100);
	/* Within the last second always, after two never. */
	assert_true(chunkmap_recent(&m, 2, 11899));
	assert_true(chunkmap_recent(&m, 3, 12099));
	assert_false(chunkmap_recent(&m, 1, 12200));
	assert_false(chunkmap_recent(&m, 2, 12901));
	assert_false(chunkmap_recent(&m, 3, 13101));
	chunkmap_touch(&m, 4, 20000);
	assert_false(chunkmap_recent(&m, 3, 20000));
	assert_true(chunkmap_recent(&m, 4, 20000));
	chunkmap_done(&m);
}

static void test_hand(void **state)
{
	struct digest d = {.alg = HASH_SHA256};
	size_t n = 2 * SEGMENT_CHUNKS + 100, from = 0;
	struct chunkmap m;

	(void)state;
	assert_int_equal(chunkmap_init(&m, &d, n * CHUNK_BYTES), 0);
	assert_int_equal(chunkmap_victims(&m, n, 0, true, 9, &from), 0);
	for (size_t i = 10; i < 20; i++) {
		assert_int_equal(chunkmap_prepare(&m, i, false), 0);
		chunkmap_add(&m, i);
	}
	assert_int_equal(chunkmap_prepare(&m, n - 1, false), 0);
	chunkmap_add(&m, n - 1);
	chunkmap_set(&m, CHUNK_SPILLED, 12);
	chunkmap_touch(&m, 14, 5000);
	chunkmap_set(&m, CHUNK_REFERENCED, 16);
	assert_int_equal(chunkmap_next(&m, CHUNK_PRESENT, 0), 10);
	assert_int_equal(chunkmap_next(&m, CHUNK_PRESENT, 20), n - 1);
	assert_int_equal(chunkmap_next(&m, CHUNK_SPILLED, 13), n);

#define VICTIMS(limit, force, want, want_from)                                 \
	do {                                                                   \
		assert_int_equal(                                              \
			chunkmap_victims(&m, limit, 5000, force, 9, &from),    \
			want);                                                 \
		if (want)                                                      \
			assert_int_equal(from, want_from);                     \
		for (size_t k_ = from; k_ < from + (want); k_++)               \
			chunkmap_remove(&m, k_);                               \
	} while (0)
	VICTIMS(5, false, 0, 0);
	VICTIMS(15, false, 2, 10);
	VICTIMS(n, false, 1, 13);
	VICTIMS(n, false, 1, 15);
	VICTIMS(n, false, 3, 17);
	VICTIMS(n, false, 1, n - 1);
	/* The reference was taken the first time. */
	VICTIMS(n, false, 1, 16);
	VICTIMS(n, false, 0, 0);
	VICTIMS(n, true, 1, 14);
	VICTIMS(n, true, 0, 0);
	assert_int_equal(m.present, 1);
	chunkmap_done(&m);
}

static void test_spill(void **state)
{
	struct spill *s = calloc(1, sizeof(*s));
	struct chunks *a = (struct chunks *)1000, *b = (struct chunks *)2000;
	struct spill_entry victim;

	(void)state;
	for (size_t i = 0; i < SPILL_CHUNKS; i++) {
		spill_put(s, i % 2 ? a : b, i, malloc(1), &victim);
		assert_null(victim.owner);
	}
	assert_non_null(spill_find(s, b, 0));
	assert_null(spill_find(s, a, 0));
	spill_put(s, a, 100, malloc(1), &victim);
	assert_ptr_equal(victim.owner, a);
	assert_int_equal(victim.i, 1);
	spill_remove(s, a, 5);
	assert_null(spill_find(s, a, 5));
	spill_put(s, a, 101, malloc(1), &victim);
	assert_null(victim.owner);
	spill_put(s, a, 102, malloc(1), &victim);
	assert_ptr_equal(victim.owner, b);
	assert_int_equal(victim.i, 2);
	spill_remove_all(s, a);
	assert_null(spill_find(s, a, 100));
	assert_non_null(spill_find(s, b, 0));
	spill_remove_all(s, b);
	free(s);
}

/* Blobs that are closed go first, whole, the least recently used one first. */
static void test_closed(void **state)
{
	struct fixture *f = *state;
	struct digest d[4];
	struct chunks *c;
	struct blob_row row;
	char b;

	for (size_t k = 0; k < 4; k++) {
		d[k] = make_digest(k, 4);
		chunks_close(make_blob(f, k, 4));
	}
	release_idle(f);
	/* Reading makes blob 0 the newest. */
	assert_int_equal(chunks_open(f->s, &d[0], MIB, &c), 0);
	assert_true(chunks_ready(c, 0, true));
	assert_int_equal(chunks_read(c, &b, 1, 0), 1);
	chunks_close(c);
	release_idle(f);
	assert_int_equal(chunks_open(f->s, &d[1], MIB, &c), 0); /* in use */
	assert_int_equal(f->s->bytes, 4 * MIB);
	assert_int_equal(evict_to(f->s, 3 * MIB - 1, clock_ms(), false),
			 2 * MIB);
	for (size_t k = 0; k < 4; k++) {
		assert_int_equal(blob_get(f->s, &d[k], &row), 0);
		assert_int_equal(row.bytes, k < 2 ? MIB : 0);
	}
	assert_int_equal(chunks_present(c), 4);
	chunks_close(c);
	/* What has gone is still known to have been right. */
	assert_int_equal(chunks_open(f->s, &d[2], MIB, &c), 0);
	assert_true(chunks_verified(c));
	assert_int_equal(chunks_present(c), 0);
	assert_int_equal(put(c, 3, 1), -EBADMSG);
	assert_int_equal(put(c, 2, 1), 0);
	chunks_close(c);
	assert_int_equal(f->s->bytes, 2 * MIB + CHUNK_BYTES);
}

/* Then those without a user, if not just left. */
static void test_idle(void **state)
{
	struct fixture *f = *state;
	struct chunks *a = make_blob(f, 1, 4), *b = make_blob(f, 2, 4);

	chunks_close(a);
	chunks_touch(a);
	assert_int_equal(evict_to(f->s, MIB, clock_ms(), false), 0);
	assert_int_equal(evict_to(f->s, MIB, clock_ms() + 1500, false), MIB);
	assert_int_equal(chunks_present(b), 4);
	assert_int_equal(chunks_present(a), 0);
	assert_true(disk_bytes(f, a) == 0);
	chunks_close(b);
}

static void test_open(void **state)
{
	struct fixture *f = *state;
	struct chunks *c = make_blob(f, 1, 16);
	uint64_t now = clock_ms();

	assert_true(right(c, 1, 2));
	/* Everything was touched just now. */
	assert_int_equal(evict_to(f->s, 3 * MIB, now, false), 0);
	assert_int_equal(chunks_present(c), 16);
	/* A while later: in order, but for what was read since. */
	assert_int_equal(store_maintain(f->s), 0);
	now += 5000;
	assert_true(evict_to(f->s, 4 * MIB - 4 * CHUNK_BYTES, now, false) >=
		    4 * CHUNK_BYTES);
	assert_false(chunks_ready(c, 0, false));
	assert_false(chunks_ready(c, 1, false));
	assert_true(right(c, 1, 2));
	assert_true(disk_bytes(f, c) <=
		    chunks_present(c) * CHUNK_BYTES + 65536);
	assert_int_equal(f->s->bytes, chunks_present(c) * CHUNK_BYTES);
	for (size_t i = 0; i < 16; i++) {
		assert_int_equal(put(c, 2, i),
				 chunks_ready(c, i, false) ? 0 : -EBADMSG);
		assert_int_equal(put(c, 1, i), 0);
		assert_true(right(c, 1, i));
	}
	/* By force. */
	evict_to(f->s, MIB, clock_ms(), true);
	assert_true(f->s->bytes <= MIB);
	/* The map on disk has never said more than there is. */
	chunks_close(c);
	store_close(f->s);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	c = NULL;
	{
		struct digest d = make_digest(1, 16);

		assert_int_equal(chunks_open(f->s, &d, 4 * MIB, &c), 0);
	}
	assert_true(chunks_present(c) <= 4);
	for (size_t i = 0; i < 16; i++) {
		if (chunks_ready(c, i, false))
			assert_true(right(c, 1, i));
	}
	chunks_close(c);
}

/* What was not hashed yet is taken last; then the hash waits for it. */
static void test_ahead(void **state)
{
	struct fixture *f = *state;
	struct digest d = make_digest(1, 10);
	struct chunks *c = NULL;

	assert_int_equal(chunks_open(f->s, &d, 10 * CHUNK_BYTES, &c), 0);
	for (size_t i = 0; i < 10; i++) {
		if (i != 4)
			assert_int_equal(put(c, 1, i), 0);
	}
	assert_int_equal(c->map.hashed, 4);
	evict_to(f->s, 5 * CHUNK_BYTES, clock_ms() + 5000, false);
	assert_int_equal(chunks_present(c), 5);
	for (size_t i = 5; i < 10; i++)
		assert_true(chunks_ready(c, i, false));
	evict_to(f->s, 3 * CHUNK_BYTES, clock_ms() + 5000, true);
	assert_true(chunks_present(c) <= 3);
	assert_int_equal(put(c, 1, 4), 0);
	assert_false(chunks_verified(c));
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(put(c, 1, i), 0);
	assert_true(chunks_verified(c));
	chunks_close(c);
}

/* One blob much larger than the cache streams through. */
static void test_stream(void **state)
{
	struct fixture *f = *state;
	size_t n = 800; /* 200 MiB */
	uint64_t most = 0, most_disk = 0;
	struct digest d = make_digest(3, n);
	struct chunks *c = NULL;

	store_close(f->s);
	f->cfg.size_bytes = 16 * MIB;
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	assert_int_equal(store_start(f->s), 0);
	assert_int_equal(chunks_open(f->s, &d, n * CHUNK_BYTES, &c), 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t disk;

		assert_int_equal(put(c, 3, i), 0);
		/* Whoever reads right behind finds it. */
		assert_true(right(c, 3, i));
		if (i >= 8)
			assert_true(right(c, 3, i - 8));
		pthread_mutex_lock(&f->s->lock);
		most = f->s->bytes > most ? f->s->bytes : most;
		pthread_mutex_unlock(&f->s->lock);
		disk = i % 8 == 0 ? disk_bytes(f, c) : 0;
		most_disk = disk > most_disk ? disk : most_disk;
	}
	assert_true(chunks_verified(c));
	assert_true(most <= f->cfg.size_bytes + SLACK + MIB);
	assert_true(most_disk <= f->cfg.size_bytes + 64 * MIB);
	assert_true(most_disk >= 8 * MIB);
	chunks_close(c);
}

/* Too little is free and nothing is left to evict: memory. */
static void test_starved(void **state)
{
	struct fixture *f = *state;
	struct store_stats st;
	struct chunks *c;

	store_close(f->s);
	f->cfg.min_free_bytes = (uint64_t)1 << 60;
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	c = make_blob(f, 1, 4);
	log_set_level((enum log_level) - 1);
	evict_check(f->s, clock_ms() + 5000);
	assert_int_equal(chunks_present(c), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(put(c, 1, i), 0);
		assert_true(right(c, 1, i));
	}
	assert_int_equal(store_stats(f->s, &st), 0);
	assert_int_equal(st.bytes, 0);
	assert_int_equal(st.evicted_bytes, MIB);
	assert_true(disk_bytes(f, c) == 0);
	chunks_close(c);
}

/* Objects without a user do not pile up. */
static void test_many_idle(void **state)
{
	struct fixture *f = *state;
	struct digest d = {.alg = HASH_SHA256};
	struct chunks *c = NULL;

	for (size_t k = 0; k < 3 * f->s->idle_max; k++) {
		memcpy(d.raw, &k, sizeof(k));
		assert_int_equal(chunks_open(f->s, &d, 10, &c), 0);
		assert_int_equal(f->s->idle <= f->s->idle_max, 1);
		chunks_close(c);
	}
	assert_true(f->s->idle <= f->s->idle_max);
	assert_true(map_len(f->s->table) <= f->s->idle_max);
	release_idle(f);
	assert_int_equal(f->s->idle, 0);
	assert_int_equal(map_len(f->s->table), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_recent),
		cmocka_unit_test(test_hand),
		cmocka_unit_test(test_spill),
		T(test_closed),
		T(test_idle),
		T(test_open),
		T(test_ahead),
		T(test_stream),
		T(test_starved),
		T(test_many_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
