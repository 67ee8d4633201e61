/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A TOML text being read: toml.c reads statements, tomlvalue.c what stands
 * behind '='.  Functions return 0, -EINVAL with `why` set, -ENOMEM, -EFBIG. */
#include "config/toml.h"

struct tomlscan {
	const char *p, *end;
	unsigned line; /* of p */
	size_t nodes;
	const char *why;
	toml_told *told;
	void *arg;
	unsigned errors;
	unsigned begun; /* the line of the statement */
};

int toml_bad(struct tomlscan *s, const char *why); /* -EINVAL */
void toml_skip_blanks(struct tomlscan *s);
bool toml_at(const struct tomlscan *s, char c);

int toml_new(struct tomlscan *s, enum toml_type type, struct toml **ret);
/* Takes the child over, in any case. */
int toml_add(struct tomlscan *s, struct toml *parent, struct toml *child);

/* Notes that what is written for it cannot be read, for which `why` is set;
 * -EINVAL. */
int toml_add_broken(struct tomlscan *s, struct toml *table, const char *key);

/* A bare or quoted key. */
int toml_read_key(struct tomlscan *s, char **ret);
/* `key.key = value` into the table. */
int toml_read_pair(struct tomlscan *s, struct toml *table, unsigned depth);
int toml_read_value(struct tomlscan *s, unsigned depth, struct toml **ret);
/* A string of any kind, at its quote; `lines`: it may have several. */
int toml_read_string(struct tomlscan *s, bool lines, char **ret);
/* The table beneath it of that name, made if there is none. */
int toml_enter(struct tomlscan *s, struct toml *table, const char *key,
	       struct toml **ret);
