/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/map.h"

static struct map *new_map(void)
{
	struct map *m = NULL;

	assert_int_equal(map_new(&m), 0);
	return m;
}

static void puts_and_finds(void **state)
{
	struct map *m = new_map();
	int a, b;
	void *old = &b;

	assert_null(map_find(m, "k"));
	assert_null(map_remove(m, "k"));
	assert_int_equal(map_put(m, "k", &a, &old), 0);
	assert_null(old);
	assert_int_equal(map_len(m), 1);
	assert_ptr_equal(map_find(m, "k"), &a);
	assert_int_equal(map_put(m, "k", &b, &old), 0);
	assert_ptr_equal(old, &a);
	assert_int_equal(map_len(m), 1);
	assert_int_equal(map_put(m, "k", &a, NULL), 0);
	assert_ptr_equal(map_remove(m, "k"), &a);
	assert_null(map_find(m, "k"));
	assert_int_equal(map_len(m), 0);
	map_free(m, NULL);
	map_free(NULL, free);
}

static void keys_are_bytes(void **state)
{
	struct map *m = new_map();
	char key[] = "a\0b";
	int a, b, c, d;

	assert_int_equal(map_putn(m, key, 3, &a, NULL), 0);
	assert_int_equal(map_putn(m, key, 1, &b, NULL), 0);
	assert_int_equal(map_putn(m, NULL, 0, &c, NULL), 0);
	assert_int_equal(map_putn(m, "a\0c", 3, &d, NULL), 0);
	key[0] = 'z'; /* copied */
	assert_ptr_equal(map_findn(m, "a\0b", 3), &a);
	assert_ptr_equal(map_find(m, "a"), &b);
	assert_ptr_equal(map_find(m, ""), &c);
	assert_null(map_findn(m, "a\0d", 3));
	assert_ptr_equal(map_removen(m, "a\0b", 3), &a);
	assert_ptr_equal(map_findn(m, "a\0c", 3), &d);
	assert_int_equal(map_len(m), 3);
	map_free(m, NULL);
}

/* Random work, compared with an array. */
static void agrees_with_model(void **state)
{
	enum { KEYS = 300 };
	struct map *m = new_map();
	static int objects[KEYS];
	int *model[KEYS] = {0};
	size_t count = 0;
	char key[16];

	srand(1);
	for (int i = 0; i < 20000; i++) {
		int k = rand() % (i < 10000 ? KEYS : 20);
		int *new = &objects[rand() % KEYS];
		void *old = NULL;

		snprintf(key, sizeof(key), "key-%d", k);
		assert_ptr_equal(map_find(m, key), model[k]);
		if (rand() % 2) {
			assert_int_equal(map_put(m, key, new, &old), 0);
			count += model[k] ? 0 : 1;
		} else {
			old = map_remove(m, key);
			count -= model[k] ? 1 : 0;
			new = NULL;
		}
		assert_ptr_equal(old, model[k]);
		model[k] = new;
		assert_int_equal(map_len(m), count);
	}
	for (int k = 0; k < KEYS; k++) {
		snprintf(key, sizeof(key), "key-%d", k);
		assert_ptr_equal(map_find(m, key), model[k]);
	}
	map_free(m, NULL);
}

static void walks_while_removing(void **state)
{
	struct map *m = new_map();
	static int objects[1000];
	char key[16];
	const char *found;
	size_t pos = 0, n = 0;
	int *v;

	assert_null(map_next(m, &pos, &found));
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(map_put(m, key, &objects[i], NULL), 0);
	}
	pos = 0;
	while ((v = map_next(m, &pos, &found))) {
		assert_ptr_equal(v, &objects[strtol(found, NULL, 10)]);
		(*v)++;
		n++;
		if (n % 2) {
			snprintf(key, sizeof(key), "%s", found);
			assert_ptr_equal(map_remove(m, key), v);
		}
	}
	assert_int_equal(n, 1000);
	assert_int_equal(map_len(m), 500);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(objects[i], 1);
	pos = n = 0;
	while (map_next(m, &pos, NULL))
		n++;
	assert_int_equal(n, 500);
	map_free(m, NULL);
}

static void frees_values(void **state)
{
	struct map *m = new_map();

	/* The leak checker looks on. */
	assert_int_equal(map_put(m, "a", strdup("x"), NULL), 0);
	assert_int_equal(map_put(m, "b", strdup("y"), NULL), 0);
	free(map_remove(m, "a"));
	map_free(m, free);
}

static void hash_spreads(void **state)
{
	uint64_t a = map_hash("abcdefghi", 9);
	unsigned int low[16] = {0};

	assert_true(a == map_hash("abcdefghi", 9));
	assert_false(a == map_hash("abcdefghj", 9));
	assert_false(a == map_hash("abcdefgh", 8));
	assert_false(map_hash("\0", 1) == map_hash("\0\0", 2));
	for (uint32_t i = 0; i < 16000; i++)
		low[map_hash(&i, sizeof(i)) & 15]++;
	for (int i = 0; i < 16; i++)
		assert_in_range(low[i], 800, 1200);
}

/* Two fresh processes draw different seeds. */
static uint64_t hash_in_child(void)
{
	uint64_t hash = 0;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		hash = map_hash("x", 1);
		_exit(write(fds[1], &hash, sizeof(hash)) != sizeof(hash));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], &hash, sizeof(hash)), sizeof(hash));
	close(fds[0]);
	close(fds[1]);
	return hash;
}

/* Comes first: this process must not have drawn its seed yet. */
static void hash_is_seeded(void **state)
{
	assert_false(hash_in_child() == hash_in_child());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_is_seeded),
		cmocka_unit_test(puts_and_finds),
		cmocka_unit_test(keys_are_bytes),
		cmocka_unit_test(agrees_with_model),
		cmocka_unit_test(walks_while_removing),
		cmocka_unit_test(frees_values),
		cmocka_unit_test(hash_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
