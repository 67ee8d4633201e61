/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What this process may do, and what others may see of it.  All of this is for
 * a process of one thread: capabilities and no_new_privs belong to a thread,
 * and those made later inherit them.
 */
#include <stdbool.h>

/* No core file, no debugger, nothing that a parent left open, files that are
 * made are for this user alone.  With sanitizers a debugger is let in. */
void privilege_hide(void);

/*
 * Root keeps CAP_SYS_ADMIN (to unmount), CAP_DAC_READ_SEARCH (paths through
 * others' directories) and, if `look_at_callers`, CAP_SYS_PTRACE (without it
 * nobody is shown what another process is about to do, or how it ended); the
 * programs it runs can have no more.  Other users may still run set-uid
 * programs, for without fusermount3 they could not unmount.  -errno.
 */
int privilege_drop(bool look_at_callers);
