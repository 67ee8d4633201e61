/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: fails one chosen allocation or thread, or all from it on.  An
 * allocation is told by the last callers on its stack, so that "the third in
 * this place" is the same one in every run, however threads take turns. Counted
 * are those that the program itself makes; with `all`, those of its libraries
 * too.
 *
 * Works before AddressSanitizer's own allocator as well (with
 * verify_asan_link_order=0), so that leaks are found.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "stack.h"

#define EARLY_BYTES 65536
#define EXIT_TOLD 96
#define EXIT_LOST 99

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);

/* Looking up the real ones may allocate. */
static _Alignas(16) char early[EARLY_BYTES];
static size_t early_len;
static bool looking;

static void *early_alloc(size_t n)
{
	size_t at = early_len;

	n = (n + 15) & ~(size_t)15;
	if (n > EARLY_BYTES - at)
		abort();
	early_len += n;
	return early + at;
}

static void look_up(void)
{
	looking = true;
	real_malloc = dlsym(RTLD_NEXT, "malloc");
	real_calloc = dlsym(RTLD_NEXT, "calloc");
	real_realloc = dlsym(RTLD_NEXT, "realloc");
	real_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	real_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	looking = false;
}

__attribute__((constructor)) static void start(void)
{
	if (!real_malloc)
		look_up();
	stack_start();
}

/* Is the allocation that `caller` asks for to fail? */
static __attribute__((noinline)) bool hits(void *caller)
{
	if (!control || inside || !atomic_load(&control->on))
		return false;
	if ((!control->all && !is_program(caller)) || !stack_hits(caller, 0))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	if (!real_malloc && looking)
		return early_alloc(n);
	if (!real_malloc)
		look_up();
	return hits(__builtin_return_address(0)) ? NULL : real_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	if (!real_calloc && looking)
		return early_alloc(n * size);
	if (!real_calloc)
		look_up();
	return hits(__builtin_return_address(0)) ? NULL : real_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	if (!real_realloc)
		look_up();
	return hits(__builtin_return_address(0)) ? NULL : real_realloc(p, n);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (!real_realloc)
		look_up();
	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return hits(__builtin_return_address(0)) ? NULL
						 : real_realloc(p, bytes);
}

int posix_memalign(void **ret, size_t align, size_t n)
{
	return hits(__builtin_return_address(0))
		       ? ENOMEM
		       : real_posix_memalign(ret, align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return hits(__builtin_return_address(0)) ? NULL
						 : real_aligned_alloc(align, n);
}

/* A thread is memory, too. */
int pthread_create(pthread_t *ret, const pthread_attr_t *attr,
		   void *(*run)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *,
			   void *(*)(void *), void *);

	if (!real)
		real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_create");
	return hits(__builtin_return_address(0)) ? EAGAIN
						 : real(ret, attr, run, arg);
}

/*
 * What cmocka does at a check that failed, if told so by CMOCKA_TEST_ABORT.
 * What is on the stacks is still held: the rest was lost by whoever failed.
 */
void abort(void)
{
	static void (*real)(void);
	int (*leaks)(void) = (__typeof__(leaks))dlsym(
		RTLD_DEFAULT, "__lsan_do_recoverable_leak_check");
	void (*dump)(void) =
		(__typeof__(dump))dlsym(RTLD_DEFAULT, "__gcov_dump");

	if (control && getenv("CMOCKA_TEST_ABORT")) {
		atomic_store(&control->on, 0);
		/* A build for coverage has it: nothing else writes its counts
		 * without a proper end, which other threads forbid. */
		if (dump)
			dump();
		_exit(leaks && leaks() ? EXIT_LOST : EXIT_TOLD);
	}
	real = (__typeof__(real))dlsym(RTLD_NEXT, "abort");
	real();
	_exit(EXIT_LOST);
}

/* libc's own calls of malloc are not the program's. */
static int print(void *caller, char **ret, const char *format, va_list ap)
{
	va_list again;
	char *text;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0 || hits(caller))
		return -1;
	text = real_malloc((size_t)n + 1);
	if (!text)
		return -1;
	*ret = text;
	return vsnprintf(text, (size_t)n + 1, format, ap);
}

int vasprintf(char **ret, const char *format, va_list ap)
{
	return print(__builtin_return_address(0), ret, format, ap);
}

/* As _FORTIFY_SOURCE calls it. */
int __vasprintf_chk(char **ret, int flag, const char *format, va_list ap);
int __vasprintf_chk(char **ret, int flag, const char *format, va_list ap)
{
	(void)flag;
	return print(__builtin_return_address(0), ret, format, ap);
}

char *strndup(const char *text, size_t max)
{
	size_t n = strnlen(text, max);
	char *copy =
		hits(__builtin_return_address(0)) ? NULL : real_malloc(n + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = 0;
	return copy;
}

char *strdup(const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = hits(__builtin_return_address(0)) ? NULL : real_malloc(n);

	return copy ? memcpy(copy, text, n) : NULL;
}
