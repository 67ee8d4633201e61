/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has a mount forget what it has cached of some paths.  They are handed over
 * first and forgotten together, for what they alone share goes with them.
 */
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/mounted.h"
#include "fs/control.h"
#include "util/auto.h"
#include "util/str.h"
#include "util/vec.h"

struct target {
	struct mounted mount;
	int fd; /* its control file */
};

struct evict {
	VEC(struct target) targets;
	uint64_t flags;
	bool quiet, failed;
};

/* The one of this mount, opened at its first path.  Takes m over. */
static int target_of(struct evict *e, struct mounted *m, struct target **ret)
{
	struct target new = {.mount = *m, .fd = -1};
	int r;

	for (size_t i = 0; i < e->targets.len; i++) {
		*ret = &e->targets.v[i];
		if (strcmp((*ret)->mount.top, m->top) != 0)
			continue;
		mounted_done(m);
		return 0;
	}
	r = mounted_control(m, &new.fd);
	if (r == 0)
		r = vec_push(&e->targets, new);
	if (r < 0) {
		if (new.fd >= 0)
			close(new.fd);
		mounted_done(m);
		return r;
	}
	*ret = &e->targets.v[e->targets.len - 1];
	return 0;
}

static int hand_over(struct evict *e, const char *path)
{
	struct control_path add = {.path = ""};
	autofree char *beneath = NULL;
	struct target *t = NULL;
	struct mounted m;
	int r;

	r = mounted_find(path, &m, &beneath);
	if (r == 0)
		r = target_of(e, &m, &t);
	if (r < 0)
		return r;
	if (strlen(beneath) >= sizeof(add.path))
		return -ENAMETOOLONG;
	snprintf(add.path, sizeof(add.path), "%s", beneath);
	return ioctl(t->fd, CONTROL_ADD, &add) < 0 ? -errno : 0;
}

static void complain(struct evict *e, const char *path, int error)
{
	char buf[MOUNTED_WHY_MAX];
	const char *why;

	switch (error) {
	case ENOENT:
		why = "nothing of it is cached";
		break;
	case EINVAL:
		why = "names no image, layer, blob or repository";
		break;
	default:
		why = mounted_why(path, error, buf);
	}
	fprintf(stderr, "registryfs: %s: %s\n", path, why);
	e->failed = true;
}

static void report(const struct control_result *c)
{
	char bytes[STR_BYTES_MAX];

	printf("freed %s in %llu blobs\n", str_bytes(c->bytes, bytes),
	       (unsigned long long)c->blobs);
	if (c->indexes)
		printf("freed %s in %llu indexes\n",
		       str_bytes(c->index_bytes, bytes),
		       (unsigned long long)c->indexes);
	if (c->kept)
		printf("kept %s in %llu blobs that other images need "
		       "(--force: forget them, too)\n",
		       str_bytes(c->kept_bytes, bytes),
		       (unsigned long long)c->kept);
}

static void forget(struct evict *e, const struct target *t)
{
	struct control_result c = {.flags = e->flags};

	if (ioctl(t->fd, CONTROL_FORGET, &c) < 0)
		complain(e, t->mount.top, errno);
	else if (!e->quiet)
		report(&c);
}

static void evict_done(struct evict *e)
{
	for (size_t i = 0; i < e->targets.len; i++) {
		close(e->targets.v[i].fd);
		mounted_done(&e->targets.v[i].mount);
	}
	vec_done(&e->targets);
}

static int parse(struct evict *e, int argc, char **argv)
{
	static const struct option longs[] = {
		{"all", no_argument, NULL, 'a'},
		{"force", no_argument, NULL, 'f'},
		{"quiet", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "afq", longs, NULL)) != -1) {
		if (c == 'a')
			e->flags |= CONTROL_INDEXES;
		else if (c == 'f')
			e->flags |= CONTROL_SHARED;
		else if (c == 'q')
			e->quiet = true;
		else
			return -EINVAL;
	}
	return optind < argc ? 0 : -EINVAL;
}

static int run(int argc, char **argv)
{
	struct evict e = {.flags = 0};
	int r;

	if (parse(&e, argc, argv) < 0)
		return command_usage(&cmd_evict);
	for (int i = optind; i < argc; i++) {
		r = hand_over(&e, argv[i]);
		if (r < 0)
			complain(&e, argv[i], -r);
	}
	for (size_t i = 0; i < e.targets.len; i++)
		forget(&e, &e.targets.v[i]);
	evict_done(&e);
	return e.failed ? 2 : 0;
}

const struct command cmd_evict = {
	.name = "evict",
	.usage = "[--all] [--force] [--quiet] PATH...",
	.help = "forget what is cached of images, layers, repositories",
	.run = run,
};
