/* SPDX-License-Identifier: Apache-2.0 */
/* A process that is killed at any moment loses nothing that it was told it
 * has; and many threads at once. */
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "journal-fixture.h"

#define ROUNDS 50
#define IDS_MAX 4096

struct report {
	char what; /* 'a': was added; 'r': is about to be, 'R': was removed */
	int64_t id;
};

static void say(int fd, char what, int64_t id)
{
	struct report r = {what, id};

	if (write(fd, &r, sizeof(r)) != sizeof(r))
		_exit(1);
}

static void work(int fd, unsigned seed)
{
	static char body[30000];
	struct journal_document d[] = {doc("one"), doc("two")};
	int64_t ids[8] = {0}, session;
	char name[32];

	memset(body, 'b', sizeof(body) - 1);
	d[1] = doc(body);
	for (unsigned i = 0;; i++) {
		size_t k = i % COUNT(ids);

		if (ids[k]) {
			say(fd, 'r', ids[k]);
			if (journal_remove(f->j, ids[k]) < 0)
				_exit(2);
			say(fd, 'R', ids[k]);
		}
		snprintf(name, sizeof(name), "t%u-%u", seed, i);
		if (journal_session_open(f->j, "h", "r", "u", &session) < 0 ||
		    add(name, d, i % 3, &ids[k]) < 0)
			_exit(3);
		say(fd, 'a', ids[k] * 10 + i % 3);
		if (journal_session_over(f->j, session) < 0)
			_exit(4);
	}
}

/* What a run that was killed had been told. */
struct told {
	enum { TOLD_NOTHING, TOLD_ADDED, TOLD_EITHER, TOLD_REMOVED } of;
	unsigned docs;
	bool seen;
} told[IDS_MAX];

static unsigned run_and_kill(unsigned seed)
{
	struct timespec t = {.tv_nsec = (long)(seed * 7919u % 16000u) * 1000};
	unsigned acknowledged = 0;
	struct report r;
	int pipes[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		close(pipes[0]);
		start();
		say(pipes[1], 's', 0);
		work(pipes[1], seed);
	}
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &r, sizeof(r)), sizeof(r));
	nanosleep(&t, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(pipes[0], &r, sizeof(r)) == sizeof(r)) {
		int64_t id = r.what == 'a' ? r.id / 10 : r.id;

		assert_true(id > 0 && id < IDS_MAX);
		if (r.what == 'a') {
			told[id] = (struct told){.of = TOLD_ADDED,
						 .docs = (unsigned)(r.id % 10)};
			acknowledged++;
		} else {
			told[id].of =
				r.what == 'r' ? TOLD_EITHER : TOLD_REMOVED;
		}
	}
	close(pipes[0]);
	return acknowledged;
}

static int see(void *arg, const struct journal_image *i)
{
	assert_true(i->id < IDS_MAX);
	told[i->id].seen = true;
	return 0;
}

static int count_doc(void *arg, const struct journal_document *d)
{
	++*(unsigned *)arg;
	return 0;
}

static void crashes(void **state)
{
	unsigned acknowledged = 0;

	stop();
	for (unsigned round = 0; round < ROUNDS; round++) {
		memset(told, 0, sizeof(told));
		acknowledged += run_and_kill(round);
		start();
		assert_int_equal(journal_check(f->j, NULL), 0);
		assert_int_equal(journal_images(f->j, see, NULL), 0);
		for (int64_t id = 1; id < IDS_MAX; id++) {
			unsigned docs = 0;

			if (told[id].of == TOLD_ADDED && !told[id].seen)
				fail_msg("round %u: %lld is lost", round,
					 (long long)id);
			if (told[id].of == TOLD_REMOVED && told[id].seen)
				fail_msg("round %u: %lld is back", round,
					 (long long)id);
			assert_int_equal(
				journal_documents(f->j, id, count_doc, &docs),
				0);
			/* All or nothing. */
			if (told[id].of != TOLD_NOTHING)
				assert_int_equal(docs, told[id].seen
							       ? told[id].docs
							       : 0);
			if (!told[id].seen && docs)
				fail_msg("documents of nothing");
			if (told[id].seen)
				assert_int_equal(journal_remove(f->j, id), 0);
		}
		stop();
	}
	assert_true(acknowledged > ROUNDS);
	start();
}

/* --- threads --- */

static void *add_main(void *arg)
{
	for (int i = 0; i < 30; i++) {
		int64_t id = added("1.0"), session;

		assert_int_equal(
			journal_session_open(f->j, "h", "r", "u", &session), 0);
		assert_int_equal(journal_check(f->j, NULL), 0);
		assert_int_equal(journal_note(f->j, id, EIO, "x"), 0);
		assert_int_equal(journal_session_over(f->j, session), 0);
		if (i % 2)
			assert_int_equal(journal_remove(f->j, id), 0);
	}
	return NULL;
}

static int count_image(void *arg, const struct journal_image *i)
{
	++*(unsigned *)arg;
	return 0;
}

static void threads(void **state)
{
	pthread_t t[4];
	unsigned n = 0;

	for (size_t i = 0; i < COUNT(t); i++)
		pthread_create(&t[i], NULL, add_main, NULL);
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(journal_images(f->j, count_image, &n), 0);
	assert_int_equal(n, 60);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(crashes), T(threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
