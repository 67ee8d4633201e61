/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The mount: a libfuse low-level session whose requests are answered from the
 * content.  fs_mount only mounts; nothing is answered before fs_run.
 */
#include <stdbool.h>

#include "config/options.h"
#include "content/content.h"
#include "push/outbox.h"

struct fs;

/* Mounts at o->mountpoint.  -EINVAL: libfuse refused an option (it said so). */
int fs_mount(const struct options *o, struct content *c, struct outbox *outbox,
	     struct fs **ret);
/* Prints libfuse's part of --help. */
void fs_print_help(void);
/*
 * Serves until unmounted or told to stop by SIGTERM, SIGINT, SIGHUP; `ready` is
 * called once the kernel's first request was answered.  0, or -errno.
 */
int fs_run(struct fs *fs, void (*ready)(void *arg), void *arg);
/* Was something on its way when the patience of a stop had ended? */
bool fs_broken_off(const struct fs *fs);
void fs_unmount(struct fs *fs); /* also frees */
