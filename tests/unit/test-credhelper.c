/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "config/credhelper.h"
#include "config/helperanswer.h"
#include "config/helpercache.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"

static void helper(const char *name, const char *script)
{
	char path[128], text[4096];

	snprintf(path, sizeof(path), "bin/docker-credential-%s", name);
	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	put_mode(path, text, 0755);
}

static char *slurp(const char *name)
{
	char *text = NULL;
	size_t len;

	assert_int_equal(fd_read_file(AT_FDCWD, at(name), 1 << 16, &text, &len),
			 0);
	return text;
}

static void answers(void **state)
{
	static const struct {
		const char *text;
		size_t len; /* 0: of the text */
		int status;
		int expected;
		enum credential_kind kind;
		const char *user, *secret;
	} t[] = {
		{"{\"ServerURL\":\"x\",\"Username\":\"jo\",\"Secret\":\"s:\"}",
		 0, 0, 0, CREDENTIAL_BASIC, "jo", "s:"},
		{"{\"Username\":\"<token>\",\"Secret\":\"t\"}\n", 0, 0, 0,
		 CREDENTIAL_IDENTITY_TOKEN, "<token>", "t"},
		{"{\"Username\":\"\",\"Secret\":\"\"}", 0, 0, 0,
		 CREDENTIAL_NONE, NULL, NULL},
		{"{\"Username\":\"jo\",\"Secret\":null}", 0, 0, 0,
		 CREDENTIAL_NONE, NULL, NULL},
		{"{}", 0, 0, 0, CREDENTIAL_NONE, NULL, NULL},
		{"", 0, 0, -EACCES, CREDENTIAL_NONE, NULL, NULL},
		{"[]", 0, 0, -EACCES, CREDENTIAL_NONE, NULL, NULL},
		{"{\"Secret\":1}", 0, 0, -EACCES, CREDENTIAL_NONE, NULL, NULL},
		{"{\"Secret\":\"a\\u0000b\"}", 0, 0, -EACCES, CREDENTIAL_NONE,
		 NULL, NULL},
		{"{\"Secret\":\"a\"}\0x", 16, 0, -EACCES, CREDENTIAL_NONE, NULL,
		 NULL},
		{"hello", 0, 0, -EACCES, CREDENTIAL_NONE, NULL, NULL},
		{" credentials not found in native keychain\r\n", 0, 1, 0,
		 CREDENTIAL_NONE, NULL, NULL},
		{"no credentials server URL", 0, 1, -EACCES, CREDENTIAL_NONE,
		 NULL, NULL},
		{"", 0, 1, -EACCES, CREDENTIAL_NONE, NULL, NULL},
		{"{\"Username\":\"jo\",\"Secret\":\"s\"}", 0, 1, -EACCES,
		 CREDENTIAL_NONE, NULL, NULL},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		size_t len = t[i].len ? t[i].len : strlen(t[i].text);
		autocredential c = {.kind = CREDENTIAL_NONE};
		const char *reason = NULL;
		char text[256];

		memcpy(text, t[i].text, len);
		text[len] = '\0';
		if (helperanswer_parse(text, len, t[i].status, &c, &reason) !=
		    t[i].expected)
			fail_msg("\"%s\"", t[i].text);
		assert_int_equal(c.kind, t[i].kind);
		if (t[i].expected < 0)
			assert_non_null(reason);
		if (!t[i].user)
			continue;
		assert_string_equal(c.user, t[i].user);
		assert_string_equal(c.secret, t[i].secret);
	}
}

static void good(void **state)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	int leaked;
	char *seen;

	helper("good", "cat >\"$HOME/stdin\"; pwd >\"$HOME/pwd\"\n"
		       "echo \"$@\" >\"$HOME/args\"\n"
		       "ls /proc/$$/fd >\"$HOME/list\"\n"
		       "tr '\\n' ' ' <\"$HOME/list\" >\"$HOME/fds\"\n"
		       "echo \"$DOCKER_AUTH_CONFIG\" >\"$HOME/env\"\n"
		       "cut -d' ' -f5 /proc/$$/stat >\"$HOME/pgrp\"; "
		       "echo $$ >>\"$HOME/pgrp\"\n"
		       "grep SigIgn /proc/$$/status >\"$HOME/signals\"\n"
		       "echo '{\"Username\":\"jo\",\"Secret\":\"s\"}'");
	setenv("DOCKER_AUTH_CONFIG", "canary", 1);
	leaked = open("/dev/null", O_RDONLY);
	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(credhelper_get("good", "h:5000", &c), 0);
	signal(SIGUSR1, SIG_DFL);
	close(leaked);
	unsetenv("DOCKER_AUTH_CONFIG");
	assert_int_equal(c.kind, CREDENTIAL_BASIC);
	assert_string_equal(c.user, "jo");
	assert_string_equal(c.secret, "s");

	seen = slurp("stdin");
	assert_string_equal(seen, "h:5000");
	free(seen);
	seen = slurp("pwd");
	assert_string_equal(seen, "/\n");
	free(seen);
	seen = slurp("args");
	assert_string_equal(seen, "get\n");
	free(seen);
	seen = slurp("env");
	assert_string_equal(seen, "\n");
	free(seen);
	/* From 10 on are the shell's own. */
	seen = slurp("fds");
	assert_int_equal(strncmp(seen, "0 1 ", 4), 0);
	for (int fd = 3; fd < 10; fd++) {
		char open_fd[8];

		snprintf(open_fd, sizeof(open_fd), " %d ", fd);
		assert_null(strstr(seen, open_fd));
	}
	free(seen);
	seen = slurp("pgrp");
	assert_string_equal(
		strndupa(seen, strcspn(seen, "\n")),
		strndupa(strchr(seen, '\n') + 1, strcspn(seen, "\n")));
	free(seen);
	seen = slurp("signals");
	/* (glibc leaves its own two, 32 and 33, ignored) */
	assert_int_equal(strtoull(strchr(seen, '\t'), NULL, 16) & 0x7fffffff,
			 0);
	free(seen);
}

static void bad(void **state)
{
	static const struct {
		const char *name, *script, *says;
	} t[] = {
		{"exit1", "echo some trouble; exit 1", "failed: some trouble"},
		{"silent", "exit 1", "failed: no reason given"},
		{"forge", "printf 'a\\nregistryfs: b'; exit 1", "a\\x0areg"},
		{"crash", "kill -SEGV $$", "crashed"},
		{"big", "head -c 1000000 /dev/zero", "more than 64 KiB"},
		{"nul", "printf '{\"Secret\":\"a\\0b\"}'", "no proper JSON"},
		{"deaf", "exec <&-; echo '[]'", "no proper JSON"},
		{"missing", NULL, "is not in the PATH"},
		{"../missing", NULL, "bad name"},
		{"", NULL, "bad name"},
		{"a b", NULL, "bad name"},
	};

	for (size_t i = 0; i < COUNT(t); i++) {
		struct credential c;
		uint64_t start = clock_ms();

		if (t[i].script)
			helper(t[i].name, t[i].script);
		capture_begin();
		assert_int_equal(credhelper_get(t[i].name, "h.io", &c),
				 -EACCES);
		assert_says(capture_end(), t[i].says);
		assert_in_range(clock_ms() - start, 0, 5000);
	}
	/* what succeeded is never shown */
	helper("leak", "echo '{\"Secret\":\"canary'");
	capture_begin();
	assert_int_equal(
		credhelper_get("leak", "h.io", &(struct credential){0}),
		-EACCES);
	assert_null(strstr(capture_end(), "canary"));
}

static void bad_servers(void **state)
{
	static const char *const t[] = {"", "a\nhost=b", "a b", "a\x7f",
					"h\xc3\xa9"};
	char longest[600];
	struct credential c;

	helper("any", "echo '{}'");
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	capture_begin();
	for (size_t i = 0; i < COUNT(t); i++)
		assert_int_equal(credhelper_get("any", t[i], &c), -EACCES);
	assert_int_equal(credhelper_get("any", longest, &c), -EACCES);
	assert_says(capture_end(), "bad server name");
}

static bool is_gone(const char *pid_file)
{
	char *text = slurp(pid_file);
	pid_t pid = (pid_t)strtol(text, NULL, 10);
	bool gone = false;

	free(text);
	assert_true(pid > 1);
	/* an orphan is reaped by somebody else, soon; a zombie counts */
	for (int i = 0; i < 100 && !gone; i++) {
		char path[64], line[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		f = fopen(path, "r");
		gone = !f || !fgets(line, sizeof(line), f) ||
		       strstr(line, ") Z ");
		if (f)
			fclose(f);
		if (!gone)
			usleep(10000);
	}
	return gone;
}

/* A child that keeps the pipe open neither delays the answer nor stays. */
static void lingering_child(void **state)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	uint64_t start = clock_ms();

	helper("linger", "sleep 60 & echo $! >\"$HOME/child\"\n"
			 "echo '{\"Username\":\"jo\",\"Secret\":\"s\"}'");
	assert_int_equal(credhelper_get("linger", "h.io", &c), 0);
	assert_string_equal(c.secret, "s");
	assert_in_range(clock_ms() - start, 0, 5000);
	assert_true(is_gone("child"));
}

/* Whether it wrote nothing, or all but the end, or closed its output. */
static void hanging(void **state)
{
	static const char *const scripts[] = {
		"sleep 60 & echo $! >\"$HOME/child\"; wait",
		"sleep 60 & echo $! >\"$HOME/child\"\n"
		"echo '{\"Secret\":\"canary\"}'; wait",
		"sleep 60 >&- & echo $! >\"$HOME/child\"; exec >&-; wait",
		"trap '' TERM INT HUP; echo $$ >\"$HOME/child\"\n"
		"while :; do sleep 60; done",
	};

	for (size_t i = 0; i < COUNT(scripts); i++) {
		uint64_t start = clock_ms();
		struct credential c;

		helper("hang", scripts[i]);
		capture_begin();
		assert_int_equal(credhelper_get_within("hang", "h.io", 200, &c),
				 -EACCES);
		assert_says(capture_end(), "did not answer within 200 ms");
		assert_in_range(clock_ms() - start, 190, 3000);
		assert_true(is_gone("child"));
	}
}

/* Programs that anybody can plant are not found. */
static void open_directory(void **state)
{
	struct credential c;

	helper("planted", "echo '{}'");
	assert_int_equal(chmod(at("bin"), 0777), 0);
	capture_begin();
	assert_int_equal(credhelper_get("planted", "h.io", &c), -EACCES);
	assert_says(capture_end(), "is not in the PATH");
	assert_int_equal(chmod(at("bin"), 0755), 0);
	assert_int_equal(credhelper_get("planted", "h.io", &c), 0);
}

static size_t runs(void)
{
	struct stat st;

	return stat(at("runs"), &st) == 0 ? (size_t)st.st_size : 0;
}

static void cache(void **state)
{
	struct helpercache *cache;
	struct credential c;

	helper("count", "printf x >>\"$HOME/runs\"\n"
			"[ -e \"$HOME/broken\" ] && exit 1\n"
			"[ -e \"$HOME/none\" ] && echo '{}' && exit 0\n"
			"echo '{\"Username\":\"jo\",\"Secret\":\"s\"}'");
	assert_int_equal(helpercache_new(&cache), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(helpercache_get(cache, "count", "a", 1000, &c),
				 0);
		assert_string_equal(c.secret, "s");
		credential_done(&c);
	}
	assert_int_equal(runs(), 1);
	/* another server, another question */
	assert_int_equal(helpercache_get(cache, "count", "b", 1000, &c), 0);
	credential_done(&c);
	assert_int_equal(runs(), 2);
	/* 10 minutes */
	assert_int_equal(helpercache_get(cache, "count", "a", 590000, &c), 0);
	credential_done(&c);
	assert_int_equal(runs(), 2);
	assert_int_equal(helpercache_get(cache, "count", "a", 620000, &c), 0);
	credential_done(&c);
	assert_int_equal(runs(), 3);
	/* until forgotten */
	helpercache_forget(cache);
	put("none", "");
	assert_int_equal(helpercache_get(cache, "count", "a", 700000, &c), 0);
	assert_int_equal(c.kind, CREDENTIAL_NONE);
	assert_int_equal(runs(), 4);
	/* "none" and failures: 5 s */
	assert_int_equal(helpercache_get(cache, "count", "a", 704000, &c), 0);
	assert_int_equal(runs(), 4);
	put("broken", "");
	capture_begin();
	assert_int_equal(helpercache_get(cache, "count", "a", 720000, &c),
			 -EACCES);
	assert_int_equal(runs(), 5);
	assert_int_equal(helpercache_get(cache, "count", "a", 724000, &c),
			 -EACCES);
	assert_int_equal(runs(), 5);
	unlink(at("broken"));
	unlink(at("none"));
	assert_int_equal(helpercache_get(cache, "count", "a", 740000, &c), 0);
	capture_end();
	assert_string_equal(c.secret, "s");
	credential_done(&c);
	helpercache_free(cache);
}

struct asker {
	struct helpercache *cache;
	pthread_t thread;
	int r;
};

static void *ask(void *p)
{
	autocredential c = {.kind = CREDENTIAL_NONE};
	struct asker *a = p;

	a->r = helpercache_get(a->cache, "slow", "a", clock_ms(), &c);
	if (a->r == 0 && strcmp(c.secret, "s") != 0)
		a->r = -EBADMSG;
	return NULL;
}

static void single_flight(void **state)
{
	struct asker askers[16];
	struct helpercache *cache;

	helper("slow", "printf x >>\"$HOME/runs\"; sleep 0.2\n"
		       "echo '{\"Username\":\"jo\",\"Secret\":\"s\"}'");
	assert_int_equal(helpercache_new(&cache), 0);
	for (size_t i = 0; i < COUNT(askers); i++) {
		askers[i].cache = cache;
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask,
						&askers[i]),
				 0);
	}
	for (size_t i = 0; i < COUNT(askers); i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].r, 0);
	}
	assert_int_equal(runs(), 1);
	helpercache_free(cache);
}

static void identities(void **state)
{
	static char ab[] = "ab", a[] = "a", c[] = "c", bc[] = "bc";
	const struct credential all[] = {
		{CREDENTIAL_NONE, NULL, NULL},
		{CREDENTIAL_BASIC, ab, c},
		{CREDENTIAL_BASIC, a, bc},
		{CREDENTIAL_BASIC, a, c},
		{CREDENTIAL_BASIC, NULL, c},
		{CREDENTIAL_IDENTITY_TOKEN, a, c},
		{CREDENTIAL_REGISTRY_TOKEN, a, c},
	};
	char ids[COUNT(all)][17], again[17];

	for (size_t i = 0; i < COUNT(all); i++) {
		credential_identity(&all[i], ids[i]);
		credential_identity(&all[i], again);
		assert_string_equal(ids[i], again);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(ids[i], ids[k]);
		if (i > 0)
			assert_int_equal(strspn(ids[i], "0123456789abcdef"),
					 16);
	}
	assert_string_equal(ids[0], "anonymous");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test_teardown(good, fixture_clean),
		cmocka_unit_test_teardown(bad, fixture_clean),
		cmocka_unit_test_teardown(bad_servers, fixture_clean),
		cmocka_unit_test_teardown(lingering_child, fixture_clean),
		cmocka_unit_test_teardown(hanging, fixture_clean),
		cmocka_unit_test_teardown(open_directory, fixture_clean),
		cmocka_unit_test_teardown(cache, fixture_clean),
		cmocka_unit_test_teardown(single_flight, fixture_clean),
		cmocka_unit_test(identities),
	};
	char path[4096];
	int r;

	fixture_start();
	snprintf(path, sizeof(path), "relative::%s:/usr/bin:/bin", at("bin"));
	setenv("PATH", path, 1);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_end();
	return r;
}
