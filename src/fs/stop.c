/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal handler can do next to nothing, and the session's thread sits in
 * libfuse: so the handler only counts, and a thread of our own does the rest.
 *
 *   running --signal, unmounted--> draining
 *   draining --idle, time is up, a second signal--> stopped
 *
 * libfuse's loop looks at its exit flag when a signal interrupts it: that is
 * how the end of draining reaches it.  When it is unmounted it ends by itself,
 * but not before its threads, and those may wait for a registry: what the
 * kernel reads ahead belongs to nobody, and the unmount does not wait for it.
 */
#include "fs/stop.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>

#include "fs/fs_private.h"
#include "push/outbox.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/wait.h"

#define LOOK_MS 100

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};
#define STOP_SIGNALS (sizeof(stop_signals) / sizeof(stop_signals[0]))

/* One mount a process; the handler can be given nothing. */
static struct {
	sem_t told;
	pthread_t session, thread;
	atomic_uint signals;
	atomic_bool unmounted, over;
} stop;

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	atomic_fetch_add(&stop.signals, 1);
	sem_post(&stop.told);
	errno = saved;
}

/* Sleeps for a moment; true: a second signal came. */
static bool told_again(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (sem_clockwait(&stop.told, CLOCK_MONOTONIC, &until) < 0)
		if (errno != EINTR)
			break;
	return atomic_load(&stop.signals) > 1;
}

static void drain(struct outbox *o)
{
	uint64_t end_ms = clock_ms() + STOP_PATIENCE_MS;

	outbox_drain(o);
	if (!outbox_busy(o))
		return;
	log_warning("stopping when what is being sent has arrived, in %d s at "
		    "the latest",
		    STOP_PATIENCE_MS / 1000);
	while (outbox_busy(o) && clock_ms() < end_ms)
		if (told_again())
			return;
}

static void *stop_main(void *arg)
{
	struct fs *fs = arg;

	const struct timespec moment = {.tv_nsec = LOOK_MS * 1000000L};

	while (sem_wait(&stop.told) < 0)
		;
	/* Also when it was unmounted: files may just have been closed. */
	drain(fs->outbox);
	atomic_store(&fs->broken_off, outbox_busy(fs->outbox));
	wait_quit();
	fuse_session_exit(fs->session);
	/* Until it has heard of it: it may have looked just before. */
	while (!atomic_load(&stop.over)) {
		pthread_kill(stop.session, SIGTERM);
		nanosleep(&moment, NULL);
	}
	return NULL;
}

static void signals_take(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t set;

	sigemptyset(&action.sa_mask);
	sigemptyset(&set);
	for (size_t i = 0; i < STOP_SIGNALS; i++) {
		sigaddset(&set, stop_signals[i]);
		sigaction(stop_signals[i], &action, NULL);
	}
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int stop_begin(struct fs *fs)
{
	int r;

	stop.session = pthread_self();
	atomic_store(&stop.signals, 0);
	atomic_store(&stop.unmounted, false);
	atomic_store(&stop.over, false);
	if (sem_init(&stop.told, 0, 0) < 0)
		return -errno;
	/* Before the signals are let in here: they are for this thread only. */
	r = pthread_create(&stop.thread, NULL, stop_main, fs);
	if (r != 0) {
		sem_destroy(&stop.told);
		return -r;
	}
	signals_take();
	return 0;
}

void stop_unmounted(void)
{
	if (!atomic_exchange(&stop.unmounted, true))
		sem_post(&stop.told);
}

void stop_end(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < STOP_SIGNALS; i++)
		sigaddset(&set, stop_signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	atomic_store(&stop.over, true);
	sem_post(&stop.told);
	pthread_join(stop.thread, NULL);
	sem_destroy(&stop.told);
}
