/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements and the tree.  An error ends the statement and reading goes on
 * behind the line where it was noticed; `here` is NULL while what is read
 * belongs to a table that could not be entered.
 */
#include "config/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/tomlscan.h"
#include "util/auto.h"
#include "util/vec.h"

AUTOPTR_DEFINE(toml, toml_free)

void toml_free(struct toml *t)
{
	if (!t)
		return;
	/* As deep as it was read: TOML_DEPTH_MAX headers and values each. */
	for (size_t i = 0; i < t->len; i++)
		toml_free(t->v[i]);
	free(t->v);
	free(t->key);
	free(t->text);
	free(t);
}

const struct toml *toml_find(const struct toml *table, const char *key)
{
	if (!table || table->type != TOML_TABLE)
		return NULL;
	for (size_t i = 0; i < table->len; i++) {
		if (table->v[i]->type != TOML_BROKEN &&
		    strcmp(table->v[i]->key, key) == 0)
			return table->v[i];
	}
	return NULL;
}

unsigned toml_broken_line(const struct toml *table, const char *key)
{
	for (size_t i = 0; table->type == TOML_TABLE && i < table->len; i++) {
		if (table->v[i]->type == TOML_BROKEN &&
		    strcmp(table->v[i]->key, key) == 0)
			return table->v[i]->line;
	}
	return 0;
}

int toml_bad(struct tomlscan *s, const char *why)
{
	s->why = why;
	return -EINVAL;
}

void toml_skip_blanks(struct tomlscan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
		s->p++;
}

bool toml_at(const struct tomlscan *s, char c)
{
	return s->p < s->end && *s->p == c;
}

int toml_new(struct tomlscan *s, enum toml_type type, struct toml **ret)
{
	struct toml *t;

	if (s->nodes >= TOML_NODES_MAX)
		return -EFBIG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	s->nodes++;
	t->type = type;
	t->line = s->line;
	*ret = t;
	return 0;
}

int toml_add(struct tomlscan *s, struct toml *parent, struct toml *child)
{
	int r = parent->len < TOML_CHILDREN_MAX || child->type == TOML_BROKEN
			? vec_push(parent, child)
			: toml_bad(s, "is one too many");

	if (r < 0)
		toml_free(child);
	return r;
}

static struct toml *find(struct toml *table, const char *key)
{
	for (size_t i = 0; i < table->len; i++) {
		if (table->v[i]->type != TOML_BROKEN &&
		    strcmp(table->v[i]->key, key) == 0)
			return table->v[i];
	}
	return NULL;
}

static int add_named(struct tomlscan *s, struct toml *table, const char *key,
		     enum toml_type type, struct toml **ret)
{
	struct toml *t;
	int r = toml_new(s, type, &t);

	if (r < 0)
		return r;
	t->key = strdup(key);
	if (!t->key) {
		toml_free(t);
		return -ENOMEM;
	}
	r = toml_add(s, table, t);
	if (r == 0)
		*ret = t;
	return r;
}

int toml_add_broken(struct tomlscan *s, struct toml *table, const char *key)
{
	const char *why = s->why;
	struct toml *t;
	int r = 0;

	if (!key || table->len >= TOML_CHILDREN_MAX)
		key = "";
	if (!toml_broken_line(table, key)) {
		r = add_named(s, table, key, TOML_BROKEN, &t);
		if (r == 0)
			t->line = s->begun;
	}
	s->why = why;
	return r == 0 ? -EINVAL : r;
}

int toml_enter(struct tomlscan *s, struct toml *table, const char *key,
	       struct toml **ret)
{
	struct toml *t = find(table, key);

	if (!t)
		return add_named(s, table, key, TOML_TABLE, ret);
	if (t->many)
		t = t->v[t->len - 1];
	if (t->type != TOML_TABLE)
		return toml_bad(s, "uses a name that is no table");
	*ret = t;
	return 0;
}

/* [a.b."c"]: its last table must be new, or only have been passed by. */
static int open_table(struct tomlscan *s, struct toml *parent, const char *key,
		      struct toml **ret)
{
	struct toml *t = find(parent, key);
	int r = 0;

	if (!t)
		r = add_named(s, parent, key, TOML_TABLE, &t);
	else if (t->type != TOML_TABLE || t->defined)
		r = toml_bad(s, "names a table that is there already");
	if (r < 0)
		return r;
	t->defined = true;
	*ret = t;
	return 0;
}

/* [[a]]: one more of them. */
static int open_element(struct tomlscan *s, struct toml *parent,
			const char *key, struct toml **ret)
{
	struct toml *list = find(parent, key);
	struct toml *t;
	int r = 0;

	if (!list) {
		r = toml_new(s, TOML_TABLE, &t);
		if (r == 0)
			r = add_named(s, parent, key, TOML_ARRAY, &list);
		else
			return r;
		if (r < 0) {
			toml_free(t);
			return r;
		}
		list->many = true;
	} else if (!list->many) {
		return toml_bad(s, "names what is no array of tables");
	} else {
		r = toml_new(s, TOML_TABLE, &t);
	}
	if (r < 0)
		return r;
	t->defined = true;
	r = toml_add(s, list, t);
	if (r < 0) {
		/* An array of tables is never empty. */
		list->many = list->len > 0;
		return r;
	}
	*ret = t;
	return 0;
}

/* Behind the brackets' keys. */
static int close_header(struct tomlscan *s, bool many)
{
	for (int i = 0; i < (many ? 2 : 1); i++) {
		if (!toml_at(s, ']'))
			return toml_bad(s, "has no ] behind its name");
		s->p++;
	}
	return 0;
}

/* Nothing but a comment may follow. */
static int end_statement(struct tomlscan *s)
{
	toml_skip_blanks(s);
	if (toml_at(s, '#')) {
		while (s->p < s->end && *s->p != '\n')
			s->p++;
	}
	if (toml_at(s, '\r'))
		s->p++;
	if (s->p < s->end && *s->p != '\n')
		return toml_bad(s, "goes on behind its value");
	return 0;
}

/* One name of it, in *t.  1: there are more, in *ret. */
static int read_header_name(struct tomlscan *s, bool many, struct toml *t,
			    struct toml **ret)
{
	autofree char *key = NULL;
	int r;

	toml_skip_blanks(s);
	r = toml_read_key(s, &key);
	toml_skip_blanks(s);
	if (r == 0 && toml_at(s, '.')) {
		s->p++;
		r = toml_enter(s, t, key, ret);
		if (r == 0)
			return 1;
	} else if (r == 0) {
		r = close_header(s, many);
		if (r < 0) /* that need not be the whole name */
			return toml_add_broken(s, t, NULL);
		r = many ? open_element(s, t, key, ret)
			 : open_table(s, t, key, ret);
		if (r == 0)
			r = end_statement(s);
	}
	return r == -EINVAL ? toml_add_broken(s, t, key) : r;
}

static int read_header(struct tomlscan *s, struct toml *root, struct toml **ret)
{
	struct toml *t = root;
	bool many;
	int r = 1;

	s->p++;
	many = toml_at(s, '[');
	if (many)
		s->p++;
	for (unsigned depth = 0; r == 1; depth++) {
		if (depth >= TOML_DEPTH_MAX)
			return toml_bad(s, "is nested too deep");
		r = read_header_name(s, many, t, &t);
	}
	if (r == 0)
		*ret = t;
	return r;
}

static void tell(struct tomlscan *s, unsigned line)
{
	if (s->errors++ < TOML_ERRORS_MAX && s->told)
		s->told(s->arg, line, s->why);
}

static void next_line(struct tomlscan *s)
{
	while (s->p < s->end && *s->p != '\n')
		s->p++;
	if (s->p < s->end) {
		s->p++;
		s->line++;
	}
}

/* What has no end has not swallowed all that follows: but for a file of such
 * beginnings, it is read from the next line on. */
static int recover(struct tomlscan *s, struct toml *root, const char *start,
		   unsigned line)
{
	int r = 0;

	tell(s, line);
	if (s->p < s->end || s->line == line)
		return 0;
	if (s->errors < TOML_ERRORS_MAX) {
		s->p = start;
		s->line = line;
	} else {
		r = toml_add_broken(s, root, NULL);
	}
	return r == -EINVAL ? 0 : r;
}

static int read_statement(struct tomlscan *s, struct toml *root,
			  struct toml **here)
{
	struct toml *table = NULL;
	struct toml ignored = {.type = TOML_TABLE};
	int r;

	if (toml_at(s, '[')) {
		*here = NULL;
		r = read_header(s, root, &table);
		if (r == 0)
			*here = table;
		return r;
	}
	r = toml_read_pair(s, *here ? *here : &ignored, 0);
	for (size_t i = 0; i < ignored.len; i++)
		toml_free(ignored.v[i]);
	free(ignored.v);
	return r < 0 ? r : end_statement(s);
}

int toml_parse(const char *text, size_t len, toml_told *told, void *arg,
	       struct toml **ret)
{
	struct tomlscan s = {.p = text,
			     .end = text + len,
			     .line = 1,
			     .told = told,
			     .arg = arg};
	autoptr(toml) root = NULL;
	struct toml *here;
	int r;

	if (len > TOML_BYTES_MAX)
		return -EFBIG;
	r = toml_new(&s, TOML_TABLE, &root);
	if (r < 0)
		return r;
	here = root;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		s.p += 3;
	while (s.p < s.end) {
		const char *start = s.p;
		unsigned line = s.line;

		s.begun = line;
		toml_skip_blanks(&s);
		if (s.p < s.end && !strchr("#\r\n", *s.p))
			r = read_statement(&s, root, &here);
		else
			r = end_statement(&s);
		if (r == -EINVAL)
			r = recover(&s, root, start, line);
		if (r < 0)
			return r;
		next_line(&s);
	}
	*ret = steal(&root);
	return 0;
}
