/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tells calls apart by who makes them: the last callers on the stack, as
 * offsets in their modules, are the same in every run.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <unwind.h>

#include "control.h"

#define MODULES 64

static struct module {
	uintptr_t base, from, to;
} modules[MODULES];
static size_t modules_len;
/* In the middle of counting: what that calls itself does not count. */
static __thread bool inside __attribute__((tls_model("initial-exec")));

static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct module *m = &modules[modules_len];

	(void)size;
	(void)arg;
	if (modules_len == MODULES)
		return 1;
	*m = (struct module){.base = info->dlpi_addr, .from = UINTPTR_MAX};
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t from = m->base + h->p_vaddr;

		if (h->p_type != PT_LOAD)
			continue;
		m->from = from < m->from ? from : m->from;
		m->to = from + h->p_memsz > m->to ? from + h->p_memsz : m->to;
	}
	modules_len++;
	return 0;
}

struct stack {
	uint64_t frames[CONTROL_FRAMES];
	uintptr_t from; /* what is above it is ours */
	size_t len;
};

static uint64_t locate(uintptr_t ip)
{
	for (size_t i = 0; i < modules_len; i++) {
		if (ip >= modules[i].from && ip < modules[i].to)
			return (uint64_t)i << 48 | (ip - modules[i].base);
	}
	return (uint64_t)MODULES << 48;
}

static _Unwind_Reason_Code frame(struct _Unwind_Context *c, void *arg)
{
	struct stack *s = arg;

	uintptr_t ip = _Unwind_GetIP(c);

	if (s->len == 0 && ip != s->from)
		return _URC_NO_REASON;
	s->frames[s->len++] = locate(ip);
	return s->len < CONTROL_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static uint64_t key_of(const struct stack *s)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < CONTROL_FRAMES; i++)
		h = (h ^ s->frames[i]) * 1099511628211u;
	return h ? h : 1;
}

static inline bool is_program(void *caller)
{
	uintptr_t ip = (uintptr_t)caller;

	return ip >= modules[0].from && ip < modules[0].to;
}

/* Counts a call of this kind by `caller`; true: it is to fail. */
static inline bool stack_hits(void *caller, uint64_t kind)
{
	struct stack s = {.from = (uintptr_t)caller};
	struct place *p;
	bool is_new, hit;
	uint64_t key;

	inside = true;
	_Unwind_Backtrace(frame, &s);
	key = key_of(&s) ^ kind;
	p = control_place(key, &is_new);
	if (p && is_new) {
		p->kind = kind;
		memcpy(p->frames, s.frames, sizeof(p->frames));
	}
	if (p)
		atomic_fetch_add(&p->count, 1);
	hit = control_hits(key);
	inside = false;
	return hit;
}

/* Where it crashed, for the log; a sanitizer says more. */
static void crashed(int sig)
{
	void *frames[40];

	inside = true;
	backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
	raise(sig);
}

static inline void watch_crashes(void)
{
	struct sigaction action = {.sa_handler = crashed,
				   .sa_flags = SA_RESETHAND | SA_NODEFER};

	if (dlsym(RTLD_DEFAULT, "__asan_init") ||
	    dlsym(RTLD_DEFAULT, "__tsan_init"))
		return;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGABRT, &action, NULL);
}

/* In each library's constructor. */
static inline void stack_start(void)
{
	inside = true;
	dl_iterate_phdr(add_module, NULL);
	control_open();
	watch_crashes();
	/* Children are other programs: credential helpers, fusermount3. */
	unsetenv("LD_PRELOAD");
	inside = false;
}
