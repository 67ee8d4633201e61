/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a preloaded library and its driver share: a file that both map.  Which
 * call is to fail, how often each place called, and what has failed so far.
 * The driver writes the first part before it sets `on`.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTROL_PLACES 8192
#define CONTROL_FRAMES 4

struct place {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint64_t count;
	uint64_t kind;
	uint64_t frames[CONTROL_FRAMES]; /* module << 48 | offset */
};

struct control {
	_Atomic uint32_t on; /* calls are counted */
	uint32_t all;	     /* also those of libraries */
	uint32_t sticky;     /* all calls after the first to fail, too */
	uint32_t action;     /* 0: an error; the library's own others */
	uint64_t key;	     /* only this place's; 0: any */
	int64_t nth;	     /* which of them fails, from 1; 0: none */
	int32_t error;
	uint32_t unused;
	_Atomic int64_t seen;
	_Atomic int64_t failed;
	_Atomic uint64_t failed_key;
	_Atomic uint64_t position; /* of a record */
	struct place places[CONTROL_PLACES];
};

static struct control *control;

static inline void control_open(void)
{
	const char *path = getenv("SOAK_CONTROL");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	close(fd);
	if (p != MAP_FAILED)
		control = p;
}

/* Its entry, made if new; NULL: the table is full. */
static inline struct place *control_place(uint64_t key, bool *ret_new)
{
	for (size_t i = 0; i < CONTROL_PLACES; i++) {
		struct place *p = &control->places[(key + i) % CONTROL_PLACES];
		uint64_t none = 0;

		*ret_new = atomic_compare_exchange_strong(&p->key, &none, key);
		if (*ret_new || none == key)
			return p;
	}
	return NULL;
}

/* Counts a call; true: this one is to fail. */
static inline bool control_hits(uint64_t key)
{
	int64_t n;

	if (control->sticky && atomic_load(&control->failed) > 0) {
		atomic_fetch_add(&control->failed, 1);
		return true;
	}
	if (control->key && control->key != key)
		return false;
	n = atomic_fetch_add(&control->seen, 1) + 1;
	if (n != control->nth)
		return false;
	atomic_store(&control->failed_key, key);
	atomic_fetch_add(&control->failed, 1);
	return true;
}
