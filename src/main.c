/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up and shutdown on one page: options -> background -> store ->
 * network and registries -> content -> outbox -> filesystem.  No logic.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/app.h"
#include "cli/command.h"
#include "content/content.h"
#include "fs/fs.h"
#include "push/outbox.h"
#include "store/journal.h"
#include "store/store.h"
#include "util/auto.h"
#include "util/daemon.h"
#include "util/privilege.h"
#include "util/wait.h"

/* mount(8)'s exit codes. */
enum status {
	STATUS_OK = 0,
	STATUS_USAGE = 1,
	STATUS_SYSTEM = 2,
	STATUS_MOUNT = 32,
	STATUS_UNFINISHED = 75, /* sysexits.h EX_TEMPFAIL */
};

#define CACHE_WAIT_MS 5000

struct mount {
	struct options options;
	struct app app;
	struct store *store;
	struct journal *journal;
	struct content *content;
	struct outbox *outbox;
	struct fs *fs;
	bool broken_off; /* something that was being written */
	int report_fd;	 /* -1: in the foreground, or reported already */
};

/* What is opened later must not become standard output. */
static void fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* As many files as may be; threads must not each grow a heap. */
static void set_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	mallopt(M_ARENA_MAX, 4);
	/* Decoded spans of layers go back to the system when they are dropped;
	 * buffers of reads, and a transfer's of little over 1 MiB, stay in the
	 * heap, which is not given back and faulted in again for each. */
	mallopt(M_MMAP_THRESHOLD, (1 << 20) + (32 << 10));
	mallopt(M_TRIM_THRESHOLD, 4 << 20);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* Every thread inherits this; fs_run takes them back for its own. */
static void block_stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* A ping proves that the locks every request takes are still given. */
static void *watchdog_main(void *arg)
{
	struct mount *m = arg;
	struct store_stats st;
	autostr text = {0};
	struct wait w;

	for (;;) {
		wait_init(&w, UINT64_MAX, WAIT_CANCELLABLE);
		if (wait_sleep(&w, notify_watchdog_ms()) < 0)
			return NULL;
		str_clear(&text);
		if (store_stats(m->store, &st) == 0 &&
		    content_print_transfers(m->content, &text) == 0)
			notify_send("WATCHDOG=1");
	}
}

/* The kernel's first request was answered: the mount works. */
static void on_ready(void *arg)
{
	struct mount *m = arg;

	notify_send("READY=1");
	if (m->report_fd < 0)
		return;
	log_to_syslog("registryfs");
	daemon_report(m->report_fd, STATUS_OK);
	m->report_fd = -1;
}

/* The last mount may still be saving: unmounting does not wait for that. */
static int store_open_patiently(const struct store_config *cfg,
				struct store **ret, int *ret_pid)
{
	struct wait w;
	int r;

	wait_init(&w, CACHE_WAIT_MS, 0);
	do
		r = store_open(cfg, ret, ret_pid);
	while (r == -EBUSY && wait_sleep(&w, 200) == 0);
	return r;
}

static int open_store(struct mount *m)
{
	autofree char *dir = NULL;
	struct store_config cfg = {.size_bytes = m->options.cache_size,
				   .min_free_bytes = m->options.cache_min_free,
				   .spool_bytes = m->options.spool_size};
	int pid, r;

	r = options_cache_dir(&m->options, &dir);
	if (r < 0)
		return r;
	cfg.dir = dir;
	r = store_open_patiently(&cfg, &m->store, &pid);
	if (r == -EBUSY)
		log_error("%s is in use by process %d; give this mount a "
			  "cache_dir of its own",
			  dir, pid);
	return r;
}

/* The directory may be where only root can make one; threads inherit. */
static int start_store(struct mount *m)
{
	int r;

	r = open_store(m);
	if (r == 0)
		r = privilege_drop(!m->options.read_only);
	return r < 0 ? r : store_start(m->store);
}

static int build_outbox(struct mount *m)
{
	struct outbox_config oc = {.options = &m->options,
				   .content = m->content,
				   .store = m->store};
	int r;

	r = journal_open(m->store, &m->journal);
	if (r < 0)
		return r;
	oc.journal = m->journal;
	r = outbox_new(&oc, &m->outbox);
	return r < 0 ? r : outbox_start(m->outbox);
}

static int build(struct mount *m)
{
	struct content_config cc = {.options = &m->options};
	int r;

	r = start_store(m);
	if (r == 0)
		r = app_open(&m->options, &m->app);
	if (r < 0)
		return r;
	cc.registries = m->app.registries;
	cc.allow = m->app.allow;
	cc.faults = m->app.faults;
	cc.store = m->store;
	r = content_new(&cc, &m->content);
	return r < 0 ? r : build_outbox(m);
}

static enum status serve(struct mount *m)
{
	pthread_t watchdog = 0;
	bool watched;
	int r;

	watched = notify_watchdog_ms() > 0 &&
		  pthread_create(&watchdog, NULL, watchdog_main, m) == 0;
	r = fs_run(m->fs, on_ready, m);
	notify_send("STOPPING=1");
	wait_quit();
	if (watched)
		pthread_join(watchdog, NULL);
	if (r < 0)
		log_error("the mount failed: %s", strerror(-r));
	return r < 0 ? STATUS_SYSTEM : STATUS_OK;
}

/* What was acknowledged and is not with its registry stays in the journal. */
static enum status report_unfinished(struct mount *m, enum status status)
{
	size_t n = m->outbox ? outbox_unfinished(m->outbox) : 0;

	if (m->options.read_only || (n == 0 && !m->broken_off))
		return status;
	if (m->broken_off)
		log_warning("stopped before all that was being written had "
			    "arrived");
	if (n > 0)
		log_warning("%zu images are incomplete and were not published; "
			    "the next mount with this cache_dir goes on with "
			    "them",
			    n);
	return status == STATUS_OK ? STATUS_UNFINISHED : status;
}

static enum status run_mount(struct mount *m)
{
	enum status status = STATUS_SYSTEM;
	int r;

	if (!m->options.foreground) {
		r = daemon_fork(&m->report_fd);
		if (r < 0) {
			log_error("fork: %s", strerror(-r));
			return STATUS_SYSTEM;
		}
	}
	block_stop_signals();
	r = build(m);
	if (r == 0 && chdir("/") < 0) /* or it stays busy */
		r = -errno;
	if (r == 0) {
		r = fs_mount(&m->options, m->content, m->outbox, &m->fs);
		if (r == -EINVAL)
			status = STATUS_USAGE; /* a word FUSE does not know */
		else
			status = r < 0 ? STATUS_MOUNT : serve(m);
		/* What libfuse could not mount, it has told itself. */
		if (r < 0 && r != -EIO)
			log_error("%s: %s", m->options.mountpoint,
				  r == -EINVAL ? "not mounted (see --help)"
					       : strerror(-r));
	} else if (r != -EBUSY) { /* who has the cache was told */
		log_error("cannot start: %s", strerror(-r));
	}
	m->broken_off = fs_broken_off(m->fs);
	fs_unmount(m->fs);
	status = report_unfinished(m, status);
	outbox_free(m->outbox);
	journal_close(m->journal);
	content_free(m->content);
	app_close(&m->app);
	store_close(m->store);
	daemon_report(m->report_fd, status);
	return status;
}

static void print_help(void)
{
	options_print_help();
	command_print_help();
	fs_print_help();
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct mount m = {.report_fd = -1};
	enum status status = STATUS_OK;
	int r;

	fill_standard_streams();
	privilege_hide();
	set_limits();
	command = argc > 1 ? command_find(argv[1]) : NULL;
	if (command)
		return privilege_drop(false) < 0
			       ? STATUS_SYSTEM
			       : command_run(command, argc - 1, argv + 1);
	r = options_parse(argc, argv, &m.options);
	if (r == -ENOMEM) {
		log_error("cannot start: %s", strerror(ENOMEM));
		status = STATUS_SYSTEM;
	} else if (r < 0)
		status = STATUS_USAGE;
	else if (m.options.help)
		print_help();
	else if (m.options.version)
		puts("registryfs " PACKAGE_VERSION);
	else if (options_check_place(&m.options) < 0)
		status = STATUS_USAGE;
	else {
		log_set_level(m.options.log_level);
		status = run_mount(&m);
	}
	options_done(&m.options);
	return (int)status;
}
