/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For tests of what is found in a user's home: a temporary one, an environment
 * without surprises, and no root rights (root has other paths).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char fixture_dir[] = "/tmp/registryfs-test-XXXXXX";
static int fixture_stderr = -1, fixture_capture = -1;

/* A path in the home; good for the next 16 calls. */
__attribute__((unused)) static const char *at(const char *name)
{
	static _Thread_local char paths[16][512];
	static _Thread_local unsigned int next;
	char *path = paths[next++ % COUNT(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", fixture_dir, name);
	return path;
}

__attribute__((unused)) static void make_parents(const char *path)
{
	char parent[512];

	for (const char *s = strchr(path + 1, '/'); s; s = strchr(s + 1, '/')) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(s - path), path);
		if (mkdir(parent, 0755) < 0)
			assert_int_equal(errno, EEXIST);
	}
}

/* Replaces a file in the home, as editors do: by a new one. */
__attribute__((unused)) static void put_mode(const char *name, const char *text,
					     mode_t mode)
{
	const char *path = at(name);
	FILE *f;

	make_parents(path);
	unlink(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

__attribute__((unused)) static void put(const char *name, const char *text)
{
	put_mode(name, text, 0600);
}

__attribute__((unused)) static void make_dir(const char *name)
{
	char slash[512];

	snprintf(slash, sizeof(slash), "%s/%s/", fixture_dir, name);
	make_parents(slash);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

__attribute__((unused)) static int fixture_clean(void **state)
{
	(void)state;
	return nftw(fixture_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static void capture_begin(void)
{
	fflush(stderr);
	fixture_capture = memfd_create("stderr", MFD_CLOEXEC);
	fixture_stderr = dup(STDERR_FILENO);
	assert_true(fixture_capture >= 0 && fixture_stderr >= 0);
	dup2(fixture_capture, STDERR_FILENO);
}

/* What was written to stderr since capture_begin. */
__attribute__((unused)) static const char *capture_end(void)
{
	static char text[16384];
	ssize_t n;

	fflush(stderr);
	dup2(fixture_stderr, STDERR_FILENO);
	close(fixture_stderr);
	n = pread(fixture_capture, text, sizeof(text) - 1, 0);
	close(fixture_capture);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

__attribute__((unused)) static void assert_says(const char *text,
						const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

__attribute__((unused)) static void fixture_start(void)
{
	static const char *const unset[] = {
		"DOCKER_AUTH_CONFIG", "DOCKER_CONFIG",	"REGISTRY_AUTH_FILE",
		"SSL_CERT_FILE",      "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
		"XDG_RUNTIME_DIR",
	};

	if (geteuid() == 0) {
		/* setuid forbids the leak checker to look at us */
		if (setgroups(0, NULL) < 0 || setgid(65534) < 0 ||
		    setuid(65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
			exit(99);
	}
	umask(022);
	if (!mkdtemp(fixture_dir))
		exit(99);
	for (size_t i = 0; i < COUNT(unset); i++)
		unsetenv(unset[i]);
	setenv("HOME", fixture_dir, 1);
}

__attribute__((unused)) static void fixture_end(void)
{
	fixture_clean(NULL);
	rmdir(fixture_dir);
}
