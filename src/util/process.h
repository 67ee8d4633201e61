/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who is it that calls, and is he dying?  A killed process closes its files
 * like one that is done: only /proc tells them apart (faults.md 0.5).
 */
#include <stdbool.h>
#include <sys/types.h>

enum process_state {
	PROCESS_UNKNOWN, /* 0, another pid name space, no /proc, or one who
			    exits in a way that we may not know */
	PROCESS_ALIVE,
	PROCESS_EXITED, /* on its way out with status 0 */
	PROCESS_DYING,	/* killed, or exiting with another status */
};
/* `tid` is any thread of it.  *ret_pid (may be NULL): its process, 0 if
 * unknown. */
enum process_state process_look(pid_t tid, pid_t *ret_pid);

/* Pure, of the texts of /proc/TID/stat and /proc/TID/status.  Of processes that
 * we may not trace the exit code is always shown as 0. */
enum process_state process_parse_stat(const char *text, bool code_visible);
pid_t process_parse_status(const char *text); /* its process, or 0 */
