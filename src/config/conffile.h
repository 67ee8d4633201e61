/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the readers of other tools' TOML files share: a file's name for
 * messages, typed getters that tell what is wrong and go on. */
#include <stdbool.h>

#include "config/stringlist.h"
#include "config/toml.h"

struct conffile {
	const char *path;
	unsigned warnings;
	const char *reason; /* why all of it is not used: "is too large" */
};

/* -ENOENT: there is no such file.  -EACCES, -EFBIG: it cannot be used, told. */
int conffile_load(struct conffile *f, struct toml **ret);
/* The same for a text. */
int conffile_parse(struct conffile *f, const char *text, size_t len,
		   struct toml **ret);
/* One line that names file and line. */
void conffile_warn(struct conffile *f, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Warns of keys that are not in the NULL-terminated list. */
void conffile_known(struct conffile *f, const struct toml *table,
		    const char *const *names);
/* Absent, or of another type (told): NULL, and `ret` is left alone. */
const char *conffile_string(struct conffile *f, const struct toml *table,
			    const char *key);
/* True if it was there. */
bool conffile_bool(struct conffile *f, const struct toml *table,
		   const char *key, bool *ret);
/* For what is safer true: also where it cannot be read. */
bool conffile_bool_safe(struct conffile *f, const struct toml *table,
			const char *key);
/* One string or an array of them. */
int conffile_strings(struct conffile *f, const struct toml *value,
		     struct string_list *ret);
