/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The command line taken apart, nothing applied yet: which options with which
 * values, the words for FUSE, SOURCE and MOUNTPOINT.
 */
#include "config/optiontable.h"
#include "config/stringlist.h"

struct commandline_item {
	const struct option_row *row;
	char *value; /* or NULL */
};

struct commandline {
	struct commandline_item *v;
	size_t len, cap;
	struct string_list fuse; /* words for FUSE */
	char *positional[2];
	size_t positionals;
};

/* 0, -ENOMEM, or -EINVAL with a sentence in `why`.  argv[0] is skipped. */
int commandline_parse(int argc, char **argv, struct commandline *ret,
		      struct str *why);
void commandline_done(struct commandline *c);
/* The last value given to an option, or NULL. */
const struct commandline_item *commandline_find(const struct commandline *c,
						const char *name);
