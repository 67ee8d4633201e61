/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc(5).  The kernel sets PF_EXITING and the exit code before it closes a
 * process's files.  PF_SIGNALED alone says little: the other threads of a
 * process that calls exit(0) have it too, and any of them may be the one that
 * closes.  The exit code tells: it is that of the whole process, and holds the
 * signal of one that was killed.  But those who may not trace the process are
 * shown 0 (ptrace(2), "Ptrace access mode checking").
 */
#include "util/process.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/fd.h"

#define TEXT_MAX ((size_t)1 << 16)
/* Of /proc/TID/stat, counted from 3, which is behind the name. */
#define FIELD_AFTER_NAME 3
#define FIELD_FLAGS 9
#define FIELD_EXIT_CODE 52
#define PF_EXITING 0x4UL
#define PF_SIGNALED 0x400UL
#define CAP_SYS_PTRACE_BIT 19

static bool get_field(const char *text, int field, unsigned long *ret)
{
	/* The name may hold blanks and parentheses, what follows does not. */
	const char *s = strrchr(text, ')');
	char *end;

	if (!s || s[1] != ' ')
		return false;
	s += 2;
	for (int i = FIELD_AFTER_NAME; i < field; i++) {
		s = strchr(s, ' ');
		if (!s)
			return false;
		s++;
	}
	if (!isdigit((unsigned char)*s))
		return false;
	*ret = strtoul(s, &end, 10);
	return *end == ' ' || *end == '\n' || *end == '\0';
}

enum process_state process_parse_stat(const char *text, bool code_visible)
{
	unsigned long flags, code;

	if (!get_field(text, FIELD_FLAGS, &flags) ||
	    !get_field(text, FIELD_EXIT_CODE, &code))
		return PROCESS_UNKNOWN;
	if (!(flags & PF_EXITING))
		return PROCESS_ALIVE;
	if (code_visible)
		return code ? PROCESS_DYING : PROCESS_EXITED;
	return flags & PF_SIGNALED ? PROCESS_DYING : PROCESS_UNKNOWN;
}

/* The numbers of a line of /proc/TID/status; how many. */
static size_t get_numbers(const char *text, const char *label, int base,
			  unsigned long long *ret, size_t max)
{
	const char *s = strstr(text, label);
	size_t n = 0;

	if (!s)
		return 0;
	for (s += strlen(label); n < max; n++) {
		char *end;

		while (*s == '\t' || *s == ' ')
			s++;
		if (!isxdigit((unsigned char)*s))
			break;
		ret[n] = strtoull(s, &end, base);
		if (end == s)
			break;
		s = end;
	}
	return n;
}

pid_t process_parse_status(const char *text)
{
	unsigned long long pid = 0;

	/* A newline in the name, the line before, is escaped. */
	if (get_numbers(text, "\nTgid:", 10, &pid, 1) != 1 || pid > INT32_MAX)
		return 0;
	return (pid_t)pid;
}

static char *read_proc(pid_t tid, const char *name)
{
	char path[64], *text;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)tid, name);
	if (fd_read_file(AT_FDCWD, path, TEXT_MAX, &text, &len) < 0)
		return NULL;
	return text;
}

static bool may_trace_all(void)
{
	autofree char *status = read_proc(getpid(), "status");
	unsigned long long caps;

	return status && get_numbers(status, "\nCapEff:", 16, &caps, 1) == 1 &&
	       caps >> CAP_SYS_PTRACE_BIT & 1;
}

static bool are_all(const char *status, const char *label,
		    unsigned long long id)
{
	unsigned long long ids[3]; /* real, effective, saved */
	size_t n = get_numbers(status, label, 10, ids, 3);

	return n == 3 && ids[0] == id && ids[1] == id && ids[2] == id;
}

static bool may_trace(const char *status)
{
	return (are_all(status, "\nUid:", geteuid()) &&
		are_all(status, "\nGid:", getegid())) ||
	       may_trace_all();
}

enum process_state process_look(pid_t tid, pid_t *ret_pid)
{
	autofree char *stat = NULL;
	autofree char *status = NULL;
	enum process_state state;

	if (ret_pid)
		*ret_pid = 0;
	if (tid <= 0)
		return PROCESS_UNKNOWN;
	stat = read_proc(tid, "stat");
	status = read_proc(tid, "status");
	if (!stat || !status)
		return PROCESS_UNKNOWN;
	if (ret_pid)
		*ret_pid = process_parse_status(status);
	state = process_parse_stat(stat, true);
	if (state != PROCESS_EXITED || may_trace(status))
		return state;
	return process_parse_stat(stat, false);
}
