/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Going into the background with a true ready signal: the parent stays until
 * the child says how its start went, and exits with that.  Also systemd's
 * notification protocol (sd_notify(3)), spoken directly.
 */
#include <stdbool.h>

/*
 * Forks; the parent never returns.  In the child *ret_fd is where
 * daemon_report writes.  -errno in the only process if there was no fork.
 */
int daemon_fork(int *ret_fd);
/*
 * Tells the parent its exit status; 0 also lets go of the terminal (standard
 * streams become /dev/null).  Closes fd; nothing happens if fd < 0.
 */
void daemon_report(int fd, int status);

/* "READY=1", "WATCHDOG=1", "STOPPING=1"; nothing without $NOTIFY_SOCKET. */
void notify_send(const char *state);
/* Half of $WATCHDOG_USEC in ms; 0: systemd expects no pings of this process. */
unsigned notify_watchdog_ms(void);
