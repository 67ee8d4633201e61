/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A store of 1 GiB in a directory of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/state.h"
#include "util/log.h"

struct fixture {
	char dir[64], cache[80];
	struct store_config cfg;
	struct store *s;
};

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

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->cache, sizeof(f->cache), "%s/c", f->dir);
	f->cfg = (struct store_config){.dir = f->cache,
				       .size_bytes = (uint64_t)1 << 30};
	log_set_level(LOG_LEVEL_ERROR);
	assert_int_equal(store_open(&f->cfg, &f->s, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	store_close(f->s);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", f->dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	free(f);
	return 0;
}
