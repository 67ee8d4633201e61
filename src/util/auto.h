/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Scope-bound ownership with gcc/clang's cleanup attribute: what a variable
 * owns is released when it goes out of scope, unless steal() took it away.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void auto_free_(void *p)
{
	free(*(void **)p);
}

static inline void auto_close_(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline pthread_mutex_t *auto_lock_(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
	return m;
}

static inline void auto_unlock_(pthread_mutex_t **m)
{
	if (*m)
		pthread_mutex_unlock(*m);
}

#define AUTO_CAT2(a, b) a##b
#define AUTO_CAT(a, b) AUTO_CAT2(a, b)

#define autofree __attribute__((cleanup(auto_free_)))
#define autoclose __attribute__((cleanup(auto_close_)))

/* Declares that `autoptr(T) p` is released by fn(p); NULL must be fine. */
#define AUTOPTR_DEFINE(T, fn)                                                  \
	static inline void auto_##T##_(struct T **p)                           \
	{                                                                      \
		fn(*p);                                                        \
	}
#define autoptr(T) __attribute__((cleanup(auto_##T##_))) struct T *

/* Locks until the end of the scope. */
#define autolock(m)                                                            \
	__attribute__((cleanup(auto_unlock_), unused)) pthread_mutex_t *       \
	AUTO_CAT(lock_, __LINE__) = auto_lock_(m)

/* Takes the pointer out of an owning variable. */
#define steal(p)                                                               \
	({                                                                     \
		__typeof__(*(p)) steal_tmp_ = *(p);                            \
		*(p) = NULL;                                                   \
		steal_tmp_;                                                    \
	})

static inline int steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}
