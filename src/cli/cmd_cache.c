/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cache holds: told by the mount that uses it, or read from its
 * directory, which is locked meanwhile as a mount would.
 */
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/mounted.h"
#include "config/options.h"
#include "fs/control.h"
#include "store/inventory.h"
#include "store/journal.h"
#include "store/store.h"
#include "util/auto.h"
#include "util/fd.h"
#include "util/str.h"

#define TEXT_MAX ((size_t)256 << 20)

struct wish {
	bool prune, json;
	char *dir; /* or NULL: of a mount */
	const char *path;
};

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "registryfs: %s: %s\n", what, why);
	return 2;
}

static void print_freed(const struct wish *w, uint64_t bytes)
{
	char text[STR_BYTES_MAX];

	if (w->json)
		printf("{\"freed\":%llu}\n", (unsigned long long)bytes);
	else
		printf("freed %s\n", str_bytes(bytes, text));
}

/* --- of a mount --- */

static int prune_mount(const struct mounted *m, uint64_t *ret_bytes)
{
	autoclose int fd = -1;
	int r = mounted_control(m, &fd);

	if (r < 0)
		return r;
	return ioctl(fd, CONTROL_PRUNE, ret_bytes) < 0 ? -errno : 0;
}

static int show_mount(const struct mounted *m, bool json)
{
	autofree char *path = mounted_about(m, json ? "cache.json" : "cache");
	autofree char *text = NULL;
	size_t len;
	int r;

	if (!path)
		return -ENOMEM;
	r = fd_read_file(AT_FDCWD, path, TEXT_MAX, &text, &len);
	if (r == 0)
		fwrite(text, 1, len, stdout);
	return r;
}

static int of_mount(const struct wish *w)
{
	autofree char *beneath = NULL;
	char why[MOUNTED_WHY_MAX];
	struct mounted m;
	uint64_t bytes = 0;
	int r = mounted_find(w->path, &m, &beneath);

	if (r == 0) {
		r = w->prune ? prune_mount(&m, &bytes)
			     : show_mount(&m, w->json);
		mounted_done(&m);
	}
	if (r < 0)
		return complain(w->path, mounted_why(w->path, -r, why));
	if (w->prune)
		print_freed(w, bytes);
	return 0;
}

/* --- of a directory --- */

static int count_image(void *arg, const struct journal_image *i)
{
	(void)i;
	++*(size_t *)arg;
	return 0;
}

static int show_store(struct store *s, bool json)
{
	struct journal *j = NULL;
	autostr text = {.max = TEXT_MAX};
	struct inventory v;
	size_t pending = 0;
	int r = journal_open(s, &j);

	if (r == 0)
		r = journal_images(j, count_image, &pending);
	journal_close(j);
	/* One that cannot be read was reported. */
	if (r < 0 && r != -EROFS && r != -EIO)
		return r;
	r = inventory_take(s, &v);
	if (r < 0)
		return r;
	r = json ? inventory_print_json(&v, pending, &text)
		 : inventory_print(&v, pending, &text);
	inventory_done(&v);
	if (r == 0)
		fwrite(text.buf, 1, text.len, stdout);
	return r;
}

/* The limits are those of the configuration file. */
static int read_options(const char *dir, struct options *ret)
{
	char self[] = "registryfs", nowhere[] = "/";
	autofree char *word = str_printf("--cache-dir=%s", dir);
	char *argv[] = {self, word, nowhere, NULL};

	return word ? options_parse(3, argv, ret) : -ENOMEM;
}

static int open_directory(const struct wish *w, struct store **ret)
{
	autofree char *database = str_printf("%s/meta.db", w->dir);
	struct options o = {0};
	struct store_config cfg = {.dir = w->dir};
	int r, pid = 0;

	if (!database)
		return -ENOMEM;
	/* Opening would make one. */
	if (access(database, F_OK) < 0)
		return -errno;
	r = read_options(w->dir, &o);
	if (r == 0) {
		cfg.size_bytes = o.cache_size;
		cfg.min_free_bytes = o.cache_min_free;
		cfg.spool_bytes = o.spool_size;
		r = store_open(&cfg, ret, &pid);
	}
	options_done(&o);
	if (r == -EBUSY)
		fprintf(stderr,
			"registryfs: process %d has it mounted: name the "
			"mount point\n",
			pid);
	return r;
}

static int of_directory(const struct wish *w)
{
	struct store *s = NULL;
	struct store_stats st = {0};
	uint64_t bytes = 0;
	int r = open_directory(w, &s);

	if (r < 0)
		return complain(w->dir, r == -ENOENT ? "there is no cache"
						     : strerror(-r));
	r = store_stats(s, &st);
	if (r == 0 && st.in_memory)
		r = -EACCES;
	if (r == 0)
		r = w->prune ? store_prune(s, &bytes) : show_store(s, w->json);
	store_close(s);
	if (r < 0)
		return complain(w->dir, strerror(-r));
	if (w->prune)
		print_freed(w, bytes);
	return 0;
}

static int parse(struct wish *w, int argc, char **argv)
{
	static const struct option longs[] = {
		{"prune", no_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},
		{"cache_dir", required_argument, NULL, 'd'},
		{"cache-dir", required_argument, NULL, 'd'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'p')
			w->prune = true;
		else if (c == 'j')
			w->json = true;
		else if (c == 'd')
			w->dir = optarg;
		else
			return -EINVAL;
	}
	w->path = optind < argc ? argv[optind++] : ".";
	return optind == argc && !(w->dir && strcmp(w->path, ".") != 0)
		       ? 0
		       : -EINVAL;
}

static int run(int argc, char **argv)
{
	autofree char *dir = NULL;
	struct wish w = {0};

	if (parse(&w, argc, argv) < 0)
		return command_usage(&cmd_cache);
	if (!w.dir)
		return of_mount(&w);
	dir = realpath(w.dir, NULL);
	if (!dir)
		return complain(w.dir, strerror(errno));
	w.dir = dir;
	return of_directory(&w);
}

const struct command cmd_cache = {
	.name = "cache",
	.usage = "[--prune] [--json] [MOUNTPOINT | --cache_dir=DIR]",
	.help = "what a cache holds and how large it is; --prune: empty it",
	.run = run,
};
