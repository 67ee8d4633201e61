/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper is a foreign program in a daemon of many threads: posix_spawn (no
 * code of ours runs between fork and exec), a process group of its own, no
 * descriptor of ours, and whatever it does it is gone when its time is up.
 * The protocol is registries.md C.5: server on standard input, JSON on
 * standard output; errors too are told on standard output, with exit status 1.
 */
#include "config/credhelper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/helperanswer.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/str.h"
#include "util/wait.h"

#define HELPER_BUDGET_MS 10000
#define HELPER_NAME_MAX 64
/* Fits into a pipe before anybody reads (POSIX: PIPE_BUF is at least 512). */
#define HELPER_SERVER_MAX 511
#define HELPER_PATH                                                            \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct helper {
	const char *name, *server; /* for the log */
	unsigned int budget_ms;
	char *program;
	pid_t pid;
	int in, out, pidfd;
	char *answer; /* HELPER_ANSWER_MAX + 1 bytes */
	size_t len;
	int status; /* of wait(2) */
};

static int fail(const struct helper *h, const char *what)
{
	log_warning("credential helper %s for %s %s", h->name, h->server, what);
	return -EACCES;
}

static bool is_helper_name(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t n = strspn(s, allowed);

	return n > 0 && s[n] == '\0' && n <= HELPER_NAME_MAX;
}

/* A line break would ask for another server than the one named (CVE-2020-5260).
 */
static bool is_server(const char *s)
{
	size_t n = 0;

	while ((unsigned char)s[n] > ' ' && (unsigned char)s[n] < 0x7f)
		n++;
	return n > 0 && s[n] == '\0' && n <= HELPER_SERVER_MAX;
}

/* A directory of PATH where not everybody can put programs. */
static bool is_safe_dir(const char *dir)
{
	struct stat st;

	return dir[0] == '/' && stat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	       !(st.st_mode & S_IWOTH);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* Root runs nothing that an inherited PATH names. */
static const char *search_path(void)
{
	const char *path = getenv("PATH");

	return geteuid() == 0 || !path ? HELPER_PATH : path;
}

static int find_program(const char *name, char **ret)
{
	for (const char *at = search_path(); at; at = strchr(at, ':')) {
		autofree char *program = NULL;
		autofree char *dir = NULL;

		at += *at == ':';
		dir = strndup(at, strcspn(at, ":"));
		if (!dir)
			return -ENOMEM;
		if (!is_safe_dir(dir))
			continue;
		program = str_printf("%s/docker-credential-%s", dir, name);
		if (!program)
			return -ENOMEM;
		if (is_program(program)) {
			*ret = steal(&program);
			return 0;
		}
	}
	return -ENOENT;
}

/* Secrets, and what systemd means for us alone. */
static bool is_kept_back(const char *variable)
{
	static const char *const names[] = {
		"DOCKER_AUTH_CONFIG=", "NOTIFY_SOCKET=", "WATCHDOG_PID=",
		"WATCHDOG_USEC="};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (str_prefix(variable, names[i]))
			return true;
	/* A fixed one for root: helpers run programs too. */
	return geteuid() == 0 && str_prefix(variable, "PATH=");
}

/* Ours without these.  The array is the caller's, not what it points to. */
static char **helper_environment(void)
{
	static char path[] = "PATH=" HELPER_PATH;
	size_t n = 0, len = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (!is_kept_back(environ[i]))
			env[len++] = environ[i];
	}
	if (geteuid() == 0)
		env[len++] = path;
	return env;
}

/* A pipe that does not occupy 0, 1 or 2, where the helper's ends will go. */
static int high_pipe(int ret[2])
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		ret[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
		close(low[i]);
	}
	if (ret[0] >= 0 && ret[1] >= 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		if (ret[i] >= 0)
			close(ret[i]);
	}
	return -EMFILE;
}

static int set_actions(posix_spawn_file_actions_t *a, int in, int out)
{
	int e;

	e = posix_spawn_file_actions_adddup2(a, in, STDIN_FILENO);
	if (e == 0)
		e = posix_spawn_file_actions_adddup2(a, out, STDOUT_FILENO);
	if (e == 0)
		e = posix_spawn_file_actions_addopen(a, STDERR_FILENO,
						     "/dev/null", O_WRONLY, 0);
	if (e == 0)
		e = posix_spawn_file_actions_addclosefrom_np(a, 3);
	if (e == 0)
		e = posix_spawn_file_actions_addchdir_np(a, "/");
	return -e;
}

static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t all, none;
	int e;

	sigfillset(&all);
	sigemptyset(&none);
	e = posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP |
						POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSIGMASK);
	if (e == 0)
		e = posix_spawnattr_setpgroup(a, 0);
	if (e == 0)
		e = posix_spawnattr_setsigdefault(a, &all);
	if (e == 0)
		e = posix_spawnattr_setsigmask(a, &none);
	return -e;
}

static int spawn_with(struct helper *h, int in, int out)
{
	static char verb[] = "get";
	char *argv[] = {h->program, verb, NULL};
	autofree char **env = helper_environment();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid = 0;
	int r;

	if (!env || posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	r = set_actions(&actions, in, out);
	if (r == 0)
		r = set_attributes(&attributes);
	if (r == 0)
		r = -posix_spawn(&pid, h->program, &actions, &attributes, argv,
				 env);
	if (r == 0)
		h->pid = pid;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* The question is in the pipe before the helper runs: it can neither block us
 * nor end us with SIGPIPE. */
static int spawn(struct helper *h)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	int r;

	r = high_pipe(in);
	if (r < 0)
		return r;
	r = fd_write_all(in[1], h->server, strlen(h->server));
	close(in[1]);
	if (r == 0)
		r = high_pipe(out);
	if (r < 0) {
		close(in[0]);
		return r;
	}
	r = spawn_with(h, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	if (r < 0) {
		close(out[0]);
		return r;
	}
	h->out = out[0];
	if (fcntl(h->out, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	h->pidfd = pidfd_open(h->pid, 0);
	return h->pidfd < 0 ? -errno : 0;
}

/* 1: more may come, 0: end, or -errno. */
static int read_some(struct helper *h)
{
	ssize_t n;

	n = read(h->out, h->answer + h->len, HELPER_ANSWER_MAX + 1 - h->len);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -errno;
	h->len += (size_t)n;
	if (h->len > HELPER_ANSWER_MAX)
		return -EFBIG;
	return n > 0;
}

/*
 * Until the helper has exited and what it wrote is read.  The pipe's end is
 * not waited for after that: a grandchild may hold it open.
 */
static int collect(struct helper *h)
{
	uint64_t end_ms = clock_ms() + h->budget_ms;
	struct pollfd p[2] = {{.fd = h->out, .events = POLLIN},
			      {.fd = h->pidfd, .events = POLLIN}};

	for (;;) {
		uint64_t now = clock_ms();
		bool idle;
		int r;

		if (wait_quitting())
			return -EINTR;
		if (now >= end_ms)
			return -ETIMEDOUT;
		r = poll(p, 2, (int)(end_ms - now));
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r <= 0)
			continue;
		idle = p[0].fd < 0 || p[0].revents == 0;
		if (idle && p[1].revents)
			return 0;
		if (idle)
			continue;
		r = read_some(h);
		if (r < 0)
			return r;
		if (r == 0)
			p[0].fd = -1;
	}
}

/* Its whole group, while the leader (perhaps a zombie) still owns the id. */
static void finish(struct helper *h)
{
	kill(-h->pid, SIGKILL);
	while (waitpid(h->pid, &h->status, 0) < 0) {
		if (errno == EINTR)
			continue;
		h->status = -1;
		break;
	}
	if (h->out >= 0)
		close(h->out);
	if (h->pidfd >= 0)
		close(h->pidfd);
}

static int explain(const struct helper *h, int r)
{
	switch (r) {
	case -ENOMEM:
		return r;
	case -EINTR: /* nobody waits for it any more */
		return -EACCES;
	case -ETIMEDOUT:
		log_warning("credential helper %s for %s did not answer within "
			    "%u ms",
			    h->name, h->server, h->budget_ms);
		return -EACCES;
	case -EFBIG:
		return fail(h, "answered more than 64 KiB");
	default:
		log_warning("credential helper %s for %s cannot be run: %s",
			    h->name, h->server, strerror(-r));
		return -EACCES;
	}
}

static int judge(struct helper *h, struct credential *ret)
{
	const char *reason;
	int r;

	if (h->status == -1 || !WIFEXITED(h->status))
		return fail(h, "crashed");
	r = helperanswer_parse(h->answer, h->len, WEXITSTATUS(h->status), ret,
			       &reason);
	if (r == -EACCES)
		log_warning("credential helper %s for %s failed: %s", h->name,
			    h->server, reason);
	return r;
}

static int run(struct helper *h, struct credential *ret)
{
	int r;

	r = spawn(h);
	if (r == 0)
		r = collect(h);
	if (h->pid > 0)
		finish(h);
	return r < 0 ? explain(h, r) : judge(h, ret);
}

int credhelper_get_within(const char *name, const char *server,
			  unsigned int budget_ms, struct credential *ret)
{
	struct helper h = {.name = name,
			   .server = server,
			   .budget_ms = budget_ms,
			   .out = -1,
			   .pidfd = -1};
	int r;

	if (!is_helper_name(name))
		return fail(&h, "is not run: bad name");
	if (!is_server(server))
		return fail(&h, "is not run: bad server name");
	r = find_program(name, &h.program);
	if (r == -ENOENT)
		return fail(&h, "is not in the PATH");
	if (r < 0)
		return r;
	/* Zeroed: a NUL ends it wherever reading ends. */
	h.answer = calloc(1, HELPER_ANSWER_MAX + 2);
	r = h.answer ? run(&h, ret) : -ENOMEM;
	if (h.answer)
		explicit_bzero(h.answer, HELPER_ANSWER_MAX + 1);
	free(h.answer);
	free(h.program);
	return r;
}

int credhelper_get(const char *name, const char *server, struct credential *ret)
{
	return credhelper_get_within(name, server, HELPER_BUDGET_MS, ret);
}
