/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * TOML as other tools' configuration files use it (registries.md C.6, C.7):
 * tables, arrays of tables, dotted keys, the four kinds of strings, booleans,
 * integers, arrays, inline tables, comments.  Floats and dates are recognised
 * and stay without a value.  Strict, but forgiving: what is broken is told
 * with its line and left out, the rest stands; beneath a broken header all is
 * left out up to the next one.  Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOML_BYTES_MAX ((size_t)1 << 20)
#define TOML_NODES_MAX 65536
#define TOML_CHILDREN_MAX 2048 /* of one table or array */
#define TOML_DEPTH_MAX 16
#define TOML_ERRORS_MAX 16 /* told of one file */

enum toml_type {
	TOML_TABLE,
	TOML_ARRAY,
	TOML_STRING,
	TOML_BOOL,
	TOML_INTEGER,
	TOML_OTHER,  /* a float, a date */
	TOML_BROKEN, /* it was told what is wrong with it */
};

struct toml {
	enum toml_type type;
	char *key;	 /* in a table; NULL in an array */
	unsigned line;	 /* where it begins */
	struct toml **v; /* of TABLE and ARRAY, in the order of the file */
	size_t len, cap;
	char *text;	/* STRING; has no NUL inside */
	bool flag;	/* BOOL */
	int64_t number; /* INTEGER */
	bool doubtful;	/* it is set again, which was told */
	bool defined;	/* private: by a header of its own, or closed */
	bool many;	/* private: an array of tables */
};

/* Is told what is wrong: the end of a sentence about a line. */
typedef void toml_told(void *arg, unsigned line, const char *what);

/* The root table.  -ENOMEM, -EFBIG. */
int toml_parse(const char *text, size_t len, toml_told *told, void *arg,
	       struct toml **ret);
void toml_free(struct toml *t);
/* NULL: there is none, or it is broken. */
const struct toml *toml_find(const struct toml *table, const char *key);
/* Where something is written for it that cannot be read, or for "" something
 * of which not even the name can; 0: nowhere. */
unsigned toml_broken_line(const struct toml *table, const char *key);
