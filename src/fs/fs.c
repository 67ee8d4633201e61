/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting, the session loop, and leaving.
 *
 * Threads: libfuse's pool grows by one whenever no thread is left to receive,
 * up to max_threads; how many of them may wait for a network is bounded below
 * that (content/gate.h), so some are always free to answer from the cache.
 */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "fs/deed.h"
#include "fs/dir_root.h"
#include "fs/fs_private.h"
#include "fs/news.h"
#include "fs/stop.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/metric.h"

#define DEEDS_PATIENCE_MS 5000
#define SENDERS_PATIENCE_MS 1000

/* --- the INIT reply --- */

/*
 * libfuse before 3.17.1 accepts FUSE_CAP_PARALLEL_DIROPS and never sends it
 * (fixed by its commit c9905341): one look-up that hangs then freezes its whole
 * directory.  The first reply of a session is INIT's; the bit is set there.
 */
static ssize_t write_init_reply(int fd, const struct iovec *iov, int count)
{
	struct iovec patched[2] = {iov[0], iov[1]};
	struct fuse_init_out out;

	(void)count;
	memcpy(&out, iov[1].iov_base, sizeof(out));
	/* And without this one the kernel asks for "security.capability" before
	 * each write (limits.md 0.6). */
	out.flags |= FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2;
	patched[1].iov_base = &out;
	return writev(fd, patched, 2);
}

static bool is_init_reply(const struct iovec *iov, int count)
{
	const struct fuse_out_header *head = iov[0].iov_base;
	const struct fuse_init_out *out;

	if (count != 2 || iov[0].iov_len != sizeof(*head) || head->error != 0 ||
	    iov[1].iov_len != sizeof(*out))
		return false;
	out = iov[1].iov_base;
	return out->major == FUSE_KERNEL_VERSION;
}

static ssize_t send_message(struct fs *fs, int fd, struct iovec *iov, int count)
{
	ssize_t n;

	if (atomic_load(&fs->answered))
		return writev(fd, iov, count);
	if (!is_init_reply(iov, count))
		return writev(fd, iov, count);
	atomic_store(&fs->answered, true);
	n = write_init_reply(fd, iov, count);
	if (n > 0 && !atomic_exchange(&fs->is_ready, true) && fs->ready)
		fs->ready(fs->ready_arg);
	return n;
}

/*
 * Nothing may be sent to a descriptor that was closed meanwhile: its number may
 * be that of a file of the cache by then.
 */
static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fs *fs = userdata;
	ssize_t n = -1;
	int e = ENOENT; /* libfuse takes that without a word */

	atomic_fetch_add(&fs->sending, 1);
	if (!atomic_load(&fs->closed)) {
		n = send_message(fs, fd, iov, count);
		e = errno;
	}
	atomic_fetch_sub(&fs->sending, 1);
	errno = e;
	return n;
}

/* Who is in the kernel already has the file, and may wait for a lock that only
 * the unmount frees: so not for ever. */
static void close_to_senders(struct fs *fs)
{
	atomic_store(&fs->closed, true);
	for (unsigned ms = 0; ms < SENDERS_PATIENCE_MS; ms++) {
		if (atomic_load(&fs->sending) == 0)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

/* --- requests that libfuse does not know --- */

/*
 * A new kernel (6.18) asks for long copies first.  If two of the first are told
 * at the same time that there are none, it takes the second answer for one
 * about all copies, and reads and writes from then on, as long as the mount
 * lives.  Both requests are the same; so are, of less than 4 GiB, both answers,
 * where the low half of a number comes first.
 */
#define COPY_FILE_RANGE_64 53
#define COPY_MAX ((uint64_t)UINT32_MAX & ~(uint64_t)4095)

static void shorten_copy(char *request, size_t len)
{
	struct fuse_in_header head;
	struct fuse_copy_file_range_in in;

	if (len < sizeof(head) + sizeof(in) ||
	    __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return;
	memcpy(&head, request, sizeof(head));
	if (head.opcode != COPY_FILE_RANGE_64)
		return;
	memcpy(&in, request + sizeof(head), sizeof(in));
	head.opcode = FUSE_COPY_FILE_RANGE;
	if (in.len > COPY_MAX)
		in.len = COPY_MAX;
	memcpy(request, &head, sizeof(head));
	memcpy(request + sizeof(head), &in, sizeof(in));
}

static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
	struct fs *fs = userdata;
	ssize_t n = receive(&fs->receiver, fd, buf, len);
	int e = errno;

	if (n < 0 && e == ENODEV)
		stop_unmounted();
	if (n > 0)
		shorten_copy(buf, (size_t)n);
	errno = e;
	return n;
}

static const struct fuse_custom_io session_io = {
	.writev = io_writev,
	.read = io_read,
};

/* --- mounting --- */

void fs_print_help(void)
{
	puts("\nOther -o words are handed to FUSE:");
	fuse_lowlevel_help();
}

static int spawn_and_wait(char *const argv[])
{
	pid_t pid;
	int r, status;

	r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* A mount whose daemon has died answers ENOTCONN: take it away. */
static int detach_dead_mount(const char *mountpoint)
{
	char tool[] = "fusermount3", lazy[] = "-uz", end[] = "--";
	autofree char *at = strdup(mountpoint);
	char *argv[] = {tool, lazy, end, at, NULL};
	struct stat st;

	if (stat(mountpoint, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (errno != ENOTCONN)
		return -errno;
	log_warning("%s: detaching a mount whose daemon has died", mountpoint);
	if (!at)
		return -ENOMEM;
	if (umount2(mountpoint, MNT_DETACH) == 0)
		return 0;
	return spawn_and_wait(argv);
}

/* Commas and backslashes would end the -o word. */
static int add_escaped(struct str *out, const char *s)
{
	int r = 0;

	for (; *s && r == 0; s++) {
		if (*s == ',' || *s == '\\')
			r = str_addc(out, '\\');
		if (r == 0)
			r = str_addc(out, *s);
	}
	return r;
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (; words && *words; words += strcspn(words, ","), words += !!*words)
		if (strncmp(words, word, len) == 0 &&
		    (words[len] == ',' || !words[len]))
			return true;
	return false;
}

static int session_args(const struct options *o, struct fuse_args *args)
{
	autostr words = {.max = 65536};
	int r;

	r = str_add(&words, "subtype=registryfs,fsname=");
	if (r == 0)
		r = add_escaped(&words, o->source ? o->source : "registryfs");
	if (r == 0 && o->fuse_opts)
		r = str_addf(&words, ",%s", o->fuse_opts);
	if (r == 0 && o->allow_other)
		r = str_add(&words, ",default_permissions");
	if (r < 0)
		return r;
	if (fuse_opt_add_arg(args, "registryfs") < 0 ||
	    fuse_opt_add_arg(args, "-o") < 0 ||
	    fuse_opt_add_arg(args, words.buf) < 0)
		return -ENOMEM;
	if (o->debug && fuse_opt_add_arg(args, "-d") < 0)
		return -ENOMEM;
	return 0;
}

static int session_open(struct fs *fs)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int r;

	r = session_args(fs->options, &args);
	if (r == 0) {
		fs->session =
			fuse_session_new(&args, &fs_ops, sizeof(fs_ops), fs);
		r = fs->session ? 0 : -EINVAL;
	}
	fuse_opt_free_args(&args);
	return r;
}

/* The order matters: what still goes on replies to the session and uses nodes;
 * nodes are enlisted in the news. */
static void fs_free(struct fs *fs)
{
	deeds_free(fs->deeds);
	handles_close_all(fs);
	news_stop(fs->news);
	if (fs->session)
		fuse_session_destroy(fs->session);
	inodes_free(fs->inodes);
	news_free(fs->news);
	hidden_done(&fs->hidden);
	hidden_done(&fs->told);
	hidden_done(&fs->silent);
	pthread_mutex_destroy(&fs->handles_lock);
	free(fs);
}

static int fs_plant(struct fs *fs)
{
	struct node *root;
	int r;

	r = inodes_new(&fs->inodes);
	if (r == 0)
		r = deeds_new(&fs->deeds);
	if (r == 0)
		r = news_new(fs, &fs->news);
	if (r < 0)
		return r;
	r = dir_root_new(fs, &root);
	if (r < 0)
		return r;
	inodes_add_root(fs->inodes, root);
	return 0;
}

int fs_mount(const struct options *o, struct content *c, struct outbox *outbox,
	     struct fs **ret)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	pthread_mutex_init(&fs->handles_lock, NULL);
	hidden_init(&fs->hidden);
	hidden_init(&fs->told);
	hidden_init(&fs->silent);
	list_init(&fs->handles);
	fs->options = o;
	fs->content = c;
	fs->outbox = outbox;
	fs->enforced =
		o->allow_other || has_word(o->fuse_opts, "default_permissions");
	fs->uid = getuid();
	fs->gid = getgid();
	clock_gettime(CLOCK_REALTIME, &fs->mounted);
	options_times(o, &fs->times);
	r = fs_plant(fs);
	if (r == 0)
		r = session_open(fs);
	if (r == 0)
		r = detach_dead_mount(o->mountpoint);
	errno = 0;
	/* libfuse has said why, unless it lacked memory. */
	if (r == 0 && fuse_session_mount(fs->session, o->mountpoint) < 0)
		r = errno == ENOMEM ? -ENOMEM : -EIO;
	if (r < 0) {
		fs_free(fs);
		return r;
	}
	r = fuse_session_custom_io(fs->session, &session_io,
				   fuse_session_fd(fs->session));
	if (r < 0) {
		fs_unmount(fs);
		return r;
	}
	*ret = fs;
	return 0;
}

bool fs_broken_off(const struct fs *fs)
{
	return fs && atomic_load(&fs->broken_off);
}

void fs_unmount(struct fs *fs)
{
	if (!fs)
		return;
	/* They reply to what is closed now.  One that tells the kernel
	 * something may wait for a lock that only the unmount frees. */
	deeds_wait(fs->deeds, DEEDS_PATIENCE_MS);
	close_to_senders(fs);
	fuse_session_unmount(fs->session);
	fs_free(fs);
}

/* --- running --- */

int fs_run(struct fs *fs, void (*ready)(void *arg), void *arg)
{
	struct fuse_loop_config *loop = fuse_loop_cfg_create();
	int r;

	if (!loop)
		return -ENOMEM;
	fs->ready = ready;
	fs->ready_arg = arg;
	r = stop_begin(fs);
	if (r < 0) {
		fuse_loop_cfg_destroy(loop);
		return r;
	}
	fuse_loop_cfg_set_max_threads(loop, fs->options->max_threads);
	r = fuse_session_loop_mt(fs->session, loop);
	stop_end();
	fuse_loop_cfg_destroy(loop);
	return r < 0 ? r : 0;
}
