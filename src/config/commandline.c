/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount(8) and mount.fuse call us as SOURCE MOUNTPOINT -o WORDS, with words of
 * their own: what only they understand is dropped.  util-linux 2.38 always
 * writes ro or rw, so that a mount made by it never takes that from the
 * configuration file.
 */
#include "config/commandline.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/optionline.h"
#include "util/auto.h"
#include "util/str.h"
#include "util/vec.h"

#define ITEMS_MAX 4096

/* argv as it is consumed. */
struct arguments {
	char **v;
	int len, at;
};

void commandline_done(struct commandline *c)
{
	for (size_t i = 0; i < c->len; i++)
		free(c->v[i].value);
	free(c->v);
	string_list_done(&c->fuse);
	free(c->positional[0]);
	free(c->positional[1]);
	*c = (struct commandline){.v = NULL};
}

const struct commandline_item *commandline_find(const struct commandline *c,
						const char *name)
{
	for (size_t i = c->len; i > 0; i--) {
		if (strcmp(option_name(c->v[i - 1].row), name) == 0)
			return &c->v[i - 1];
	}
	return NULL;
}

static int refuse(struct str *why, const char *what, const char *reason)
{
	int r;

	r = str_addf(why, "%.200s %s", what, reason);
	return r < 0 ? r : -EINVAL;
}

static int add_item(struct commandline *c, const struct option_row *row,
		    const char *value)
{
	struct commandline_item item = {.row = row};
	int r;

	if (c->len >= ITEMS_MAX)
		return -E2BIG;
	item.value = value ? strdup(value) : NULL;
	if (value && !item.value)
		return -ENOMEM;
	r = vec_push(c, item);
	if (r < 0)
		free(item.value);
	return r;
}

/* Words of mount(8), fstab and systemd that say nothing to a file system. */
static bool is_for_mount(const char *word)
{
	static const char *const words[] = {
		"_netdev", "nofail", "user",	 "nouser", "users",
		"nousers", "owner",  "noowner",	 "group",  "nogroup",
		"auto",	   "noauto", "defaults", "dev",	   "suid",
	};
	static const char *const prefixes[] = {"x-", "X-", "comment=", "user="};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		if (str_prefix(word, prefixes[i]))
			return true;
	}
	return false;
}

static int add_word(struct commandline *c, const char *word)
{
	size_t n = strcspn(word, "=");
	const struct option_row *row = option_find(word, n);

	if (row)
		return add_item(c, row, word[n] ? word + n + 1 : NULL);
	if (is_for_mount(word))
		return 0;
	return string_list_add_once(&c->fuse, word);
}

static int add_words(struct commandline *c, const char *text, struct str *why)
{
	autostrings words = {.v = NULL};
	const char *reason = "";
	int r;

	r = optionwords_split(text, &words, &reason);
	if (r == -EINVAL)
		return refuse(why, "-o", reason);
	for (size_t i = 0; r == 0 && i < words.len; i++)
		r = add_word(c, words.v[i]);
	return r;
}

static const char *next(struct arguments *a)
{
	return a->at < a->len ? a->v[a->at++] : NULL;
}

/* --name, --name=value, --name value */
static int add_long(struct commandline *c, struct arguments *a,
		    const char *argument, struct str *why)
{
	const char *name = argument + 2, *value = NULL;
	size_t n = strcspn(name, "=");
	const struct option_row *row = option_find(name, n);

	if (!row)
		return refuse(why, argument, "is not an option (see --help)");
	if (name[n])
		value = name + n + 1;
	else if (!option_is_flag(row))
		value = next(a);
	return add_item(c, row, value);
}

/* -f, -fd, -o words, -owords */
static int add_short(struct commandline *c, struct arguments *a,
		     const char *argument, struct str *why)
{
	for (const char *s = argument + 1; *s; s++) {
		const struct option_row *row = option_find_letter(*s);
		int r;

		if (*s == 'o') {
			const char *words = s[1] ? s + 1 : next(a);

			if (!words)
				return refuse(why, argument, "needs words");
			return add_words(c, words, why);
		}
		if (!row)
			return refuse(why, argument,
				      "is not an option (see --help)");
		r = add_item(c, row, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_positional(struct commandline *c, const char *s, struct str *why)
{
	if (c->positionals == 2)
		return refuse(why, s, "is one argument too many");
	c->positional[c->positionals] = strdup(s);
	if (!c->positional[c->positionals])
		return -ENOMEM;
	c->positionals++;
	return 0;
}

int commandline_parse(int argc, char **argv, struct commandline *ret,
		      struct str *why)
{
	struct arguments a = {argv, argc, 1};
	struct commandline c = {.v = NULL};
	bool only_positional = false;
	const char *s;
	int r = 0;

	while (r == 0 && (s = next(&a))) {
		if (only_positional || s[0] != '-' || s[1] == '\0')
			r = add_positional(&c, s, why);
		else if (strcmp(s, "--") == 0)
			only_positional = true;
		else if (s[1] == '-')
			r = add_long(&c, &a, s, why);
		else
			r = add_short(&c, &a, s, why);
	}
	if (r == -E2BIG)
		r = refuse(why, "the command line", "has too many options");
	if (r < 0) {
		commandline_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}
