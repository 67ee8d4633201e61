/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The mount that a path of the command line is in, as seen from outside. */
#include "util/json.h"

struct mounted {
	char *top;    /* absolute */
	char *source; /* as of options.h, or NULL */
};

/*
 * *ret_beneath is the rest of the path, "" for the top itself: symbolic links
 * are followed as far as the mount can tell where they lead.  -ENXIO: no mount
 * of ours is there.  -EACCES: one that is not for us, -ENOTCONN: one that is
 * left of a daemon that ended, and so on.
 */
int mounted_find(const char *path, struct mounted *ret, char **ret_beneath);
void mounted_done(struct mounted *m);
/* Its .registryfs/NAME. */
char *mounted_about(const struct mounted *m, const char *name);
/* Its status.json; json_free. */
int mounted_status(const struct mounted *m, struct json **ret);
/* Opens what takes orders.  -EPERM: from others than us. */
int mounted_control(const struct mounted *m, int *ret_fd);
/* What went wrong with a path of it, in words, which may be in `buf`. */
#define MOUNTED_WHY_MAX 160
const char *mounted_why(const char *path, int error, char buf[MOUNTED_WHY_MAX]);
