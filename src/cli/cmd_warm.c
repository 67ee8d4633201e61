/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of warming; see cli/warm.h.  Mount after mount. */
#include "cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/warm.h"
#include "util/auto.h"

struct group {
	struct mounted mount;
	VEC(char *) paths; /* of the command line */
};

struct wish {
	struct warm_config config;
	VEC(struct platform) platforms;
	VEC(struct group) groups;
};

/* Of several, divided by commas. */
static int add_platforms(struct wish *w, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		autofree char *one = strndup(text, n);
		struct platform p = {.os = ""};
		int r = one ? platform_parse(one, &p) : -ENOMEM;

		if (r == -EINVAL)
			fprintf(stderr,
				"registryfs: %s: no "
				"OS/ARCHITECTURE[/VARIANT]\n",
				one);
		if (r == 0)
			r = vec_push(&w->platforms, p);
		if (r < 0)
			return r;
		text += n + (text[n] == ',');
	}
	return 0;
}

static int parse(struct wish *w, int argc, char **argv)
{
	static const struct option longs[] = {
		{"platform", required_argument, NULL, 'p'},
		{"referrers", no_argument, NULL, 'r'},
		{"quiet", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	int c, r = 0;

	while (r == 0 &&
	       (c = getopt_long(argc, argv, "q", longs, NULL)) != -1) {
		if (c == 'p')
			r = add_platforms(w, optarg);
		else if (c == 'r')
			w->config.referrers = true;
		else if (c == 'q')
			w->config.quiet = true;
		else
			r = -EINVAL;
	}
	w->config.platforms = w->platforms.v;
	w->config.platforms_len = w->platforms.len;
	return r == 0 && optind == argc ? -EINVAL : r;
}

/* Takes m over. */
static int add_path(struct wish *w, struct mounted *m, char *path)
{
	struct group new = {.mount = *m}, *g = NULL;
	int r;

	for (size_t i = 0; i < w->groups.len && !g; i++)
		if (strcmp(w->groups.v[i].mount.top, m->top) == 0)
			g = &w->groups.v[i];
	if (g) {
		mounted_done(m);
		return vec_push(&g->paths, path);
	}
	r = vec_push(&new.paths, path);
	if (r == 0)
		r = vec_push(&w->groups, new);
	if (r < 0) {
		vec_done(&new.paths);
		mounted_done(m);
	}
	return r;
}

static int find_mount(struct wish *w, char *path)
{
	autofree char *beneath = NULL;
	char why[MOUNTED_WHY_MAX];
	struct mounted m;
	int r;

	r = mounted_find(path, &m, &beneath);
	if (r == 0)
		r = add_path(w, &m, path);
	if (r < 0)
		fprintf(stderr, "registryfs: %s: %s\n", path,
			mounted_why(path, -r, why));
	return r;
}

static void wish_done(struct wish *w)
{
	for (size_t i = 0; i < w->groups.len; i++) {
		mounted_done(&w->groups.v[i].mount);
		vec_done(&w->groups.v[i].paths);
	}
	vec_done(&w->groups);
	vec_done(&w->platforms);
}

static int run(int argc, char **argv)
{
	struct wish w = {.config = {.referrers = false}};
	int status = 0;

	if (parse(&w, argc, argv) < 0) {
		wish_done(&w);
		return command_usage(&cmd_warm);
	}
	for (int i = optind; i < argc; i++)
		if (find_mount(&w, argv[i]) < 0)
			status = 2;
	for (size_t i = 0; i < w.groups.len; i++) {
		const struct group *g = &w.groups.v[i];

		if (warm_run(&w.config, &g->mount, g->paths.v, g->paths.len))
			status = 2;
	}
	wish_done(&w);
	return status;
}

const struct command cmd_warm = {
	.name = "warm",
	.usage = "[--platform=PLATFORM,...] [--referrers] [--quiet] PATH...",
	.help = "fetch ahead: PATH can then be read without its registry",
	.run = run,
};
