/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz harness over every file of its corpus, so that what a fuzzer
 * once found stays found without one.  The corpus of the program fuzz-X is
 * $srcdir/tests/fuzz/corpus/X; arguments name other files or folders instead.
 * An empty or missing corpus is a failure: a test that tests nothing lies.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input gets a buffer of exactly its size: one byte too far is seen. */
static int run_bytes(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return -1;
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	return 1;
}

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = malloc(INPUT_MAX);
	int r = -1;
	size_t n;

	if (f && buf) {
		n = fread(buf, 1, INPUT_MAX, f);
		if (!ferror(f))
			r = run_bytes(buf, n);
	}
	if (r < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (f)
		fclose(f);
	free(buf);
	return r;
}

/* How many inputs were run, or -1. */
static int run_path(const char *path)
{
	char name[4096];
	struct dirent *e;
	struct stat st;
	int count = 0;
	DIR *d;

	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_name[0] == '.')
			continue;
		if (run_file(name) < 0) {
			count = -1;
			break;
		}
		count++;
	}
	if (d)
		closedir(d);
	return count;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	const char *srcdir = getenv("srcdir");
	char corpus[4096];
	int i, count = 0;

	name = name ? name + 1 : argv[0];
	if (argc > 1) {
		for (i = 1; i < argc; i++) {
			int n = run_path(argv[i]);

			if (n < 0)
				return 1;
			count += n;
		}
	} else if (!strncmp(name, "fuzz-", 5)) {
		snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s",
			 srcdir ? srcdir : ".", name + 5);
		count = run_path(corpus);
	}
	printf("%s: %d inputs\n", name, count);
	return count > 0 ? 0 : 1;
}
