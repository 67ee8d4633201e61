/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one table of options: what the parsers of the command line, of -o and
 * of the configuration file know, and what --help prints.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/options.h"
#include "util/str.h"

struct option_row;

/* '-' and '_' are alike; the name is `n` characters long.  NULL: not ours. */
const struct option_row *option_find(const char *name, size_t n);
const struct option_row *option_find_letter(char letter);
const char *option_name(const struct option_row *row);
bool option_is_flag(const struct option_row *row); /* needs no value */
/* Several values add up: the list, or NULL. */
struct string_list *option_list(const struct option_row *row,
				struct options *o);

/*
 * Sets it; `value` NULL: none was written.  -EINVAL with the end of a sentence
 * about the option in `why`.
 */
int option_set(const struct option_row *row, const char *value, bool from_file,
	       struct options *o, struct str *why);
int option_print(FILE *f); /* one paragraph per option; 0 or -EIO */
