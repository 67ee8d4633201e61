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
 * of ours is there.
 */
int mounted_find(const char *path, struct mounted *ret, char **ret_beneath);
void mounted_done(struct mounted *m);
/* Its .registryfs/NAME. */
char *mounted_about(const struct mounted *m, const char *name);
/* Its status.json; json_free. */
int mounted_status(const struct mounted *m, struct json **ret);
/* What went wrong, in words. */
const char *mounted_why(int error);
