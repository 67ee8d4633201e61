/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The two ways of writing options down: lines of the configuration file, and
 * the comma-separated words behind -o.  What they mean is not known here.
 * Pure.  -EINVAL comes with *ret_reason, the end of a sentence.
 */
#include <stddef.h>

#include "config/stringlist.h"
#include "util/str.h"

#define OPTIONLINE_MAX 8192
#define OPTIONWORDS_MAX 4096

struct optionline {
	char *name;  /* NULL: the line is blank or a comment */
	char *value; /* NULL: there is no '=' */
};

/* `name`, `name = value`, `name = "value"  # comment` */
int optionline_parse(const char *line, size_t n, struct optionline *ret,
		     const char **ret_reason);
void optionline_done(struct optionline *l);

/* As libfuse splits them: `\,` is a comma, `\\` a backslash, `\NNN` octal. */
int optionwords_split(const char *s, struct string_list *ret,
		      const char **ret_reason);
/* Adds a word, escaped, behind a comma if it is not the first. */
int optionwords_add(struct str *out, const char *word);
