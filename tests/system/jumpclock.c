/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded, it moves the wall clock of a process: by the seconds that the file
 * $JUMPCLOCK holds, at any moment.  All other clocks go on as they are, and so
 * do waits until a time of day: what is waited for until then is moved as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void open_shift(void)
{
	const char *path = getenv("JUMPCLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		shift = at;
	close(fd);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, id, t);

	if (r == 0 && shift &&
	    (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += *shift;
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &t) < 0)
		return -1;
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) < 0)
		return (time_t)-1;
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

/* The kernel's clock would be reached a day too late: it is looked at now and
 * then, as if it had been set. */
int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	struct timespec now;

	while (sem_trywait(sem) < 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		if (now.tv_sec > until->tv_sec ||
		    (now.tv_sec == until->tv_sec &&
		     now.tv_nsec >= until->tv_nsec)) {
			errno = ETIMEDOUT;
			return -1;
		}
		nanosleep(&nap, NULL);
	}
	return 0;
}
