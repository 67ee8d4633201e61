/* SPDX-License-Identifier: Apache-2.0 */
/* fork(2) before any thread or database exists; see the header. */
#include "util/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/str.h"

/* The child's status, or 2 if it died without a word. */
static _Noreturn void parent_wait(int fd)
{
	unsigned char status = 2;
	ssize_t n;

	do
		n = read(fd, &status, 1);
	while (n < 0 && errno == EINTR);
	_exit(status);
}

int daemon_fork(int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (pid > 0) {
		close(fds[1]);
		parent_wait(fds[0]);
	}
	close(fds[0]);
	setsid();
	*ret_fd = fds[1];
	return 0;
}

static void let_go_of_terminal(void)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
}

void daemon_report(int fd, int status)
{
	unsigned char byte = (unsigned char)status;
	ssize_t n;

	if (fd < 0)
		return;
	if (status == 0)
		let_go_of_terminal();
	do
		n = write(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	close(fd);
}

void notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	autoclose int fd = -1;
	size_t len;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

unsigned notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	unsigned long long n;

	if (!usec || str_to_u64(usec, UINT32_MAX, &n) < 0)
		return 0;
	if (pid) {
		unsigned long long want;

		if (str_to_u64(pid, INT32_MAX, &want) < 0 ||
		    (pid_t)want != getpid())
			return 0;
	}
	return (unsigned)(n / 2000);
}
