/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount is known by its .registryfs.  What is inside images may look like
 * one, too: the way to it begins at the root of the file system.
 */
#include "cli/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/fd.h"
#include "util/str.h"

#define STATUS_MAX ((size_t)16 << 20)
#define MARK "/.registryfs/cache"
#define MOUNTS "/proc/self/mounts"
#define MOUNT_LINE_MAX ((size_t)8 << 10)

char *mounted_about(const struct mounted *m, const char *name)
{
	return str_printf("%s/.registryfs/%s", m->top, name);
}

/* Takes the last component off; the root stays. */
static void go_up(struct str *path)
{
	size_t n = path->len;

	while (n > 0 && path->buf[n - 1] != '/')
		n--;
	str_truncate(path, n > 0 ? n - 1 : 0);
}

/* By the text alone: links may lead where nobody can look now. */
static int make_absolute(const char *path, char **ret)
{
	autofree char *cwd = *path == '/' ? strdup("") : getcwd(NULL, 0);
	autostr out = {.max = PATH_MAX};
	int r = cwd ? str_add(&out, strcmp(cwd, "/") == 0 ? "" : cwd) : -errno;

	while (r == 0 && *path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && strncmp(path, "..", 2) == 0) {
			go_up(&out);
		} else if (n > 0 && !(n == 1 && *path == '.')) {
			r = str_addc(&out, '/');
			if (r == 0)
				r = str_addn(&out, path, n);
		}
		path += n + (path[n] == '/');
	}
	if (r < 0)
		return r;
	*ret = str_steal(&out);
	return *ret ? 0 : -ENOMEM;
}

/* Does the mount begin after n bytes of the path? */
static int begins_at(const char *path, size_t n)
{
	autofree char *mark = str_printf("%.*s" MARK, (int)n, path);

	if (!mark)
		return -ENOMEM;
	return access(mark, F_OK) == 0;
}

static int find_top(const char *path, size_t *ret)
{
	size_t len = strlen(path);
	int r;

	for (size_t n = 0; n <= len; n++) {
		if (path[n] != '/' && path[n] != '\0')
			continue;
		r = begins_at(path, n);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret = n;
			return 0;
		}
	}
	return -ENXIO;
}

static bool is_beneath(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (!path[n] || path[n] == '/');
}

struct entry {
	char top[PATH_MAX];
	unsigned long user;
	bool for_all;
};

/* The mount of ours that the path is in, as the kernel's table has it. */
static int find_entry(const char *path, struct entry *ret)
{
	FILE *f = setmntent(MOUNTS, "re");
	char line[MOUNT_LINE_MAX];
	struct mntent e;
	int r = -ENXIO;

	while (f && getmntent_r(f, &e, line, sizeof(line))) {
		const char *user = hasmntopt(&e, "user_id");

		if (strcmp(e.mnt_type, "fuse.registryfs") != 0 || !user ||
		    !is_beneath(path, e.mnt_dir))
			continue;
		snprintf(ret->top, sizeof(ret->top), "%s", e.mnt_dir);
		ret->user = strtoul(user + strlen("user_id="), NULL, 10);
		ret->for_all = hasmntopt(&e, "allow_other");
		r = 0;
	}
	if (f)
		endmntent(f);
	return r;
}

/*
 * -ENXIO, or why the mount that the path is in cannot be looked at.  What could
 * not be resolved is resolved up to where that failed.
 */
static int find_closed(const char *path, struct entry *ret)
{
	char reached[PATH_MAX];
	autofree char *text = NULL, *about = NULL;
	int r = make_absolute(path, &text);

	if (r < 0)
		return r == -ENOMEM ? r : -ENXIO;
	/* Kept by glibc in case of failure, too. */
	reached[0] = '\0';
	if (!realpath(path, reached) && errno != EACCES && errno != ENOTCONN)
		return -ENXIO;
	r = find_entry(reached, ret);
	if (r < 0)
		r = find_entry(text, ret);
	if (r < 0)
		return r;
	about = str_printf("%s/.registryfs", ret->top);
	if (!about)
		return -ENOMEM;
	return access(about, X_OK) < 0 ? -errno : -ENXIO;
}

int mounted_status(const struct mounted *m, struct json **ret)
{
	autofree char *path = mounted_about(m, "status.json"), *text = NULL;
	size_t len;
	int r;

	if (!path)
		return -ENOMEM;
	r = fd_read_file(AT_FDCWD, path, STATUS_MAX, &text, &len);
	return r < 0 ? r : json_parse(text, len, STATUS_MAX, ret, NULL);
}

static int learn_source(struct mounted *m)
{
	const char *source = NULL;
	struct json *j;
	int r;

	r = mounted_status(m, &j);
	if (r < 0)
		return r;
	r = json_opt_string(j, "source", &source, NULL);
	if (r == 0 && source) {
		m->source = strdup(source);
		r = m->source ? 0 : -ENOMEM;
	}
	json_free(j);
	return r;
}

int mounted_find(const char *path, struct mounted *ret, char **ret_beneath)
{
	autofree char *real = realpath(path, NULL), *beneath = NULL;
	struct mounted m = {NULL, NULL};
	struct entry e;
	size_t n = 0;
	int r = 0;

	if (!real)
		r = make_absolute(path, &real);
	if (r == 0)
		r = find_top(real, &n);
	if (r == -ENXIO)
		r = find_closed(path, &e);
	if (r < 0)
		return r;
	m.top = strndup(real, n);
	beneath = strdup(real + n + (real[n] == '/'));
	r = m.top && beneath ? learn_source(&m) : -ENOMEM;
	if (r < 0) {
		mounted_done(&m);
		return r;
	}
	*ret = m;
	*ret_beneath = steal(&beneath);
	return 0;
}

void mounted_done(struct mounted *m)
{
	free(m->top);
	free(m->source);
	memset(m, 0, sizeof(*m));
}

int mounted_control(const struct mounted *m, int *ret_fd)
{
	autofree char *path = mounted_about(m, "cache");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (!path)
		return -ENOMEM;
	if (fd < 0)
		return errno == EACCES ? -EPERM : -errno;
	*ret_fd = fd;
	return 0;
}

const char *mounted_why(const char *path, int error, char buf[MOUNTED_WHY_MAX])
{
	struct entry e;

	if (error == EPERM)
		return "only who mounted it may do that";
	if (error == ENXIO)
		return "no registryfs is mounted there";
	if (error == ENOTCONN)
		return "the registryfs that was mounted there has ended "
		       "(fusermount3 -u)";
	if (error != EACCES || find_closed(path, &e) != -EACCES)
		return strerror(error);
	if (e.for_all)
		snprintf(buf, MOUNTED_WHY_MAX,
			 "only user %lu, who has mounted it, may do that",
			 e.user);
	else
		snprintf(buf, MOUNTED_WHY_MAX,
			 "user %lu has mounted it without allow_other: only "
			 "that user can see it",
			 e.user);
	return buf;
}
