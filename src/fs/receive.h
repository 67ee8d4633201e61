/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How a thread of the session waits for a request of the kernel. */
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* Of a session; zero at first. */
struct receiver {
	atomic_int trust;    /* that looking is worth it */
	atomic_bool looking; /* one thread is */
};

/* As read(2). */
ssize_t receive(struct receiver *rc, int fd, void *buf, size_t len);
