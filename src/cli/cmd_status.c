/* SPDX-License-Identifier: Apache-2.0 */
/* Shows a mount's status page; with -w again and again, with its downloads. */
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/mounted.h"
#include "util/auto.h"
#include "util/fd.h"
#include "util/str.h"

#define TEXT_MAX ((size_t)16 << 20)

/* Prints MOUNTPOINT/.registryfs/NAME. */
static int show(const char *mountpoint, const char *name)
{
	autofree char *path = str_printf("%s/.registryfs/%s", mountpoint, name);
	autofree char *text = NULL;
	size_t len;
	int r;

	if (!path)
		return -ENOMEM;
	r = fd_read_file(AT_FDCWD, path, TEXT_MAX, &text, &len);
	if (r < 0)
		return r;
	fwrite(text, 1, len, stdout);
	return 0;
}

static int show_all(const char *mountpoint, bool live)
{
	int r;

	if (live)
		fputs("\033[H\033[2J", stdout);
	r = show(mountpoint, "status");
	if (r == 0 && live) {
		puts("\n[transfers]");
		r = show(mountpoint, "transfers");
	}
	fflush(stdout);
	return r;
}

static int run(int argc, char **argv)
{
	bool live = argc == 3 && strcmp(argv[1], "-w") == 0;
	char why[MOUNTED_WHY_MAX];
	const char *mountpoint;
	int r;

	if ((argc != 2 && !live) || argv[argc - 1][0] == '-')
		return command_usage(&cmd_status);
	mountpoint = argv[argc - 1];
	do {
		r = show_all(mountpoint, live);
		if (r < 0) {
			r = r == -ENOENT ? -ENXIO : r;
			fprintf(stderr, "registryfs: %s: %s\n", mountpoint,
				mounted_why(mountpoint, -r, why));
			return 2;
		}
		if (live)
			sleep(1);
	} while (live);
	return 0;
}

const struct command cmd_status = {
	.name = "status",
	.usage = "[-w] MOUNTPOINT",
	.help = "what a mount is doing; -w: live, until interrupted",
	.run = run,
};
