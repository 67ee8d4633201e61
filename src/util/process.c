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

pid_t process_parse_status(const char *text)
{
	/* A newline in the name, the line before, is escaped. */
	static const char label[] = "\nTgid:\t";
	const char *s = strstr(text, label);
	unsigned long long pid;

	if (!s)
		return 0;
	s += strlen(label);
	pid = isdigit((unsigned char)*s) ? strtoull(s, NULL, 10) : 0;
	return pid > INT32_MAX ? 0 : (pid_t)pid;
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

/*
 * The rule (user, capabilities, name spaces, security modules) is the kernel's
 * to know; this link asks for the same access as the exit code.
 */
static bool may_trace(pid_t tid)
{
	char path[64], link[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)tid);
	return readlink(path, link, sizeof(link)) > 0;
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
	if (state != PROCESS_EXITED || may_trace(tid))
		return state;
	return process_parse_stat(stat, false);
}
