/* SPDX-License-Identifier: Apache-2.0 */
/* These files are the administrator's, and a slip in one of them must not take
 * a mount away: it is told, and everything else counts. */
#include "config/conffile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/trustfile.h"
#include "util/auto.h"
#include "util/log.h"

#define WARNINGS_MAX 32
#define TEXT_MAX 256

void conffile_warn(struct conffile *f, unsigned line, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (f->warnings++ >= WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warning("%s:%u: %s", f->path, line, text);
}

static void told(void *arg, unsigned line, const char *what)
{
	conffile_warn(arg, line, "what begins here %s; it is left out", what);
}

int conffile_parse(struct conffile *f, const char *text, size_t len,
		   struct toml **ret)
{
	int r = toml_parse(text, len, told, f, ret);

	if (r == -EFBIG) {
		f->reason = "is too large";
		log_warning("%s %s, and is not used", f->path, f->reason);
	}
	return r;
}

int conffile_load(struct conffile *f, struct toml **ret)
{
	autofree char *text = NULL;
	const char *reason = "";
	size_t len;
	int r;

	r = trustfile_read_conf(f->path, TOML_BYTES_MAX, &text, &len, &reason);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0) {
		f->reason = reason;
		log_warning("%s %s, and is not used", f->path, reason);
		return r == -EFBIG ? r : -EACCES;
	}
	return conffile_parse(f, text, len, ret);
}

void conffile_known(struct conffile *f, const struct toml *table,
		    const char *const *names)
{
	for (size_t i = 0; i < table->len; i++) {
		const char *const *n = names;

		while (*n && strcmp(*n, table->v[i]->key) != 0)
			n++;
		if (!*n && table->v[i]->type != TOML_BROKEN)
			conffile_warn(f, table->v[i]->line,
				      "%s is unknown here, and ignored",
				      table->v[i]->key);
	}
}

const char *conffile_string(struct conffile *f, const struct toml *table,
			    const char *key)
{
	const struct toml *t = toml_find(table, key);

	if (!t)
		return NULL;
	if (t->type == TOML_STRING)
		return t->text;
	conffile_warn(f, t->line, "%s must be a string; it is ignored", key);
	return NULL;
}

bool conffile_bool(struct conffile *f, const struct toml *table,
		   const char *key, bool *ret)
{
	const struct toml *t = toml_find(table, key);

	if (!t)
		return false;
	if (t->type != TOML_BOOL) {
		conffile_warn(f, t->line,
			      "%s must be true or false; it is ignored", key);
		return false;
	}
	*ret = t->flag;
	return true;
}

bool conffile_bool_safe(struct conffile *f, const struct toml *table,
			const char *key)
{
	const struct toml *t = toml_find(table, key);

	if (!t && !toml_broken_line(table, key) && !toml_broken_line(table, ""))
		return false;
	if (t && t->type == TOML_BOOL && !t->doubtful)
		return t->flag;
	conffile_warn(f, t ? t->line : table->line,
		      "%s cannot be read, and is taken for true", key);
	return true;
}

int conffile_strings(struct conffile *f, const struct toml *value,
		     struct string_list *ret)
{
	int r = 0;

	if (value->type == TOML_STRING)
		return string_list_add(ret, value->text);
	if (value->type != TOML_ARRAY) {
		conffile_warn(f, value->line, "%s must be a string or several",
			      value->key ? value->key : "this");
		return 0;
	}
	for (size_t i = 0; r == 0 && i < value->len; i++) {
		if (value->v[i]->type == TOML_STRING)
			r = string_list_add(ret, value->v[i]->text);
		else
			conffile_warn(f, value->v[i]->line,
				      "this must be a string; it is ignored");
	}
	return r;
}
