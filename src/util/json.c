/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct json is jansson's json_t by another name.  jansson bounds nothing
 * but the depth (2048), so a scan that knows just enough of the grammar (where
 * strings end, what opens and closes) counts the values first.  The scan is
 * exact up to the first syntax error, and there jansson stops.
 */
#include "util/json.h"
#undef json_string

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/encode.h"
#include "util/str.h"

/* Macros of jansson in the way of our functions. */
#undef json_is_object
#undef json_is_array
#undef json_is_string

#define SECONDS_MAX 253402300799 /* the year 9999 */

_Static_assert(JSON_MAX_DEPTH <= 64, "struct scan keeps a bit per level");

static const json_t *peek(const struct json *j)
{
	return (const json_t *)j;
}

/* For jansson's readers that take no const. */
static json_t *take(const struct json *j)
{
	return (json_t *)(uintptr_t)j;
}

static const struct json *wrap(const json_t *j)
{
	return (const struct json *)j;
}

static int fail(struct json_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int fail(struct json_error *err, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return -EBADMSG;
}

struct scan {
	size_t values;
	unsigned int depth;
	uint64_t arrays; /* bit i: level i + 1 is an array */
	bool opened;	 /* the last thing seen was the start of an array */
};

/* The offset behind the string that starts at i. */
static size_t skip_string(const char *buf, size_t len, size_t i)
{
	for (i++; i < len && buf[i] != '"'; i++) {
		if (buf[i] == '\\')
			i++;
	}
	return i < len ? i + 1 : len;
}

/* A member's value is counted at its colon, an element after [ or a comma. */
static void scan_char(struct scan *s, char c)
{
	bool in_array = s->depth > 0 && s->arrays >> (s->depth - 1) & 1;

	if (s->opened && c != ']')
		s->values++;
	s->opened = false;
	switch (c) {
	case '[':
	case '{':
		if (s->depth < JSON_MAX_DEPTH) {
			s->arrays &= ~((uint64_t)1 << s->depth);
			s->arrays |= (uint64_t)(c == '[') << s->depth;
		}
		s->depth++;
		s->opened = c == '[';
		break;
	case ']':
	case '}':
		if (s->depth > 0)
			s->depth--;
		break;
	case ':':
		s->values++;
		break;
	case ',':
		if (in_array)
			s->values++;
		break;
	default:
		break;
	}
}

static int scan_limits(const char *buf, size_t len, struct json_error *err)
{
	struct scan s = {.values = 1};

	for (size_t i = 0; i < len;) {
		char c = buf[i];

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			i++;
			continue;
		}
		scan_char(&s, c);
		if (s.depth > JSON_MAX_DEPTH)
			return fail(err, "nested deeper than %d",
				    JSON_MAX_DEPTH);
		if (s.values > JSON_MAX_VALUES)
			return fail(err, "more than %d values",
				    JSON_MAX_VALUES);
		i = c == '"' ? skip_string(buf, len, i) : i + 1;
	}
	return 0;
}

static int parse(const char *buf, size_t len, size_t max_bytes, size_t flags,
		 struct json **ret, struct json_error *err)
{
	json_error_t error;
	json_t *j;
	char *near;
	int r;

	if (len > max_bytes)
		return fail(err, "larger than %zu bytes", max_bytes);
	r = scan_limits(buf, len, err);
	if (r < 0)
		return r;
	j = json_loadb(len ? buf : "", len, flags, &error);
	if (j) {
		*ret = (struct json *)j;
		return 0;
	}
	if (json_error_code(&error) == json_error_out_of_memory) {
		(void)fail(err, "out of memory");
		return -ENOMEM;
	}
	/* What follows quotes the document, which may hold a password. */
	near = strstr(error.text, " near ");
	if (near)
		*near = 0;
	return fail(err, "line %d column %d: %s", error.line, error.column,
		    error.text);
}

int json_parse(const char *buf, size_t len, size_t max_bytes, struct json **ret,
	       struct json_error *err)
{
	return parse(buf, len, max_bytes, JSON_REJECT_DUPLICATES, ret, err);
}

int json_parse_lenient(const char *buf, size_t len, size_t max_bytes,
		       struct json **ret, struct json_error *err)
{
	return parse(buf, len, max_bytes, 0, ret, err);
}

void json_free(struct json *j)
{
	json_decref((json_t *)j);
}

static bool is_type(const struct json *j, json_type type)
{
	return j && json_typeof(peek(j)) == type;
}

bool json_is_object(const struct json *j)
{
	return is_type(j, JSON_OBJECT);
}

bool json_is_array(const struct json *j)
{
	return is_type(j, JSON_ARRAY);
}

bool json_is_string(const struct json *j)
{
	return is_type(j, JSON_STRING);
}

size_t json_len(const struct json *j)
{
	return json_array_size(peek(j));
}

const struct json *json_at(const struct json *a, size_t i)
{
	return wrap(json_array_get(peek(a), i));
}

const struct json *json_find(const struct json *o, const char *key)
{
	const json_t *j = json_object_get(peek(o), key);

	return json_is_null(j) ? NULL : wrap(j);
}

const char *json_text(const struct json *j)
{
	return json_string_value(peek(j));
}

bool json_each(const struct json *o, void **iter, const char **ret_key,
	       const struct json **ret_value)
{
	if (*iter)
		*iter = json_object_iter_next(take(o), *iter);
	else
		*iter = json_object_iter(take(o));
	if (!*iter)
		return false;
	*ret_key = json_object_iter_key(*iter);
	*ret_value = wrap(json_object_iter_value(*iter));
	return true;
}

/* The member if it is there and of that type; NULL in *ret if absent. */
static int find_typed(const struct json *o, const char *key, json_type type,
		      const char *type_name, const struct json **ret,
		      struct json_error *err)
{
	const struct json *j;

	if (!json_is_object(o))
		return fail(err, "%s: not in an object", key);
	j = json_find(o, key);
	if (j && !is_type(j, type))
		return fail(err, "%s: not %s", key, type_name);
	*ret = j;
	return 0;
}

int json_need_string(const struct json *o, const char *key, const char **ret,
		     struct json_error *err)
{
	const char *text = NULL;
	int r;

	r = json_opt_string(o, key, &text, err);
	if (r < 0)
		return r;
	if (!text)
		return fail(err, "%s: missing", key);
	*ret = text;
	return 0;
}

int json_opt_string(const struct json *o, const char *key, const char **ret,
		    struct json_error *err)
{
	const struct json *j = NULL;
	int r;

	r = find_typed(o, key, JSON_STRING, "a string", &j, err);
	if (r < 0)
		return r;
	if (j)
		*ret = json_text(j);
	return 0;
}

static int find_u64(const struct json *o, const char *key, uint64_t max,
		    bool *ret_found, uint64_t *ret, struct json_error *err)
{
	const struct json *j = NULL;
	json_int_t v;
	int r;

	r = find_typed(o, key, JSON_INTEGER, "an integer", &j, err);
	if (r < 0)
		return r;
	*ret_found = j != NULL;
	if (!j)
		return 0;
	v = json_integer_value(peek(j));
	if (v < 0)
		return fail(err, "%s: negative", key);
	if ((uint64_t)v > max)
		return fail(err, "%s: greater than %" PRIu64, key, max);
	*ret = (uint64_t)v;
	return 0;
}

int json_need_u64(const struct json *o, const char *key, uint64_t max,
		  uint64_t *ret, struct json_error *err)
{
	bool found;
	int r;

	r = find_u64(o, key, max, &found, ret, err);
	if (r < 0)
		return r;
	return found ? 0 : fail(err, "%s: missing", key);
}

int json_opt_u64(const struct json *o, const char *key, uint64_t max,
		 uint64_t *ret, struct json_error *err)
{
	bool found;

	return find_u64(o, key, max, &found, ret, err);
}

int json_opt_seconds(const struct json *o, const char *key, int64_t *ret,
		     struct json_error *err)
{
	const struct json *j;
	double v;

	if (!json_is_object(o))
		return fail(err, "%s: not in an object", key);
	j = json_find(o, key);
	if (!j)
		return 0;
	if (!json_is_number(peek(j)))
		return fail(err, "%s: not a number", key);
	v = json_number_value(peek(j));
	if (!(v >= 0 && v <= (double)SECONDS_MAX))
		return fail(err, "%s: no time", key);
	*ret = (int64_t)v;
	return 0;
}

int json_opt_bool(const struct json *o, const char *key, bool *ret,
		  struct json_error *err)
{
	const struct json *j;

	if (!json_is_object(o))
		return fail(err, "%s: not in an object", key);
	j = json_find(o, key);
	if (!j)
		return 0;
	if (!json_is_boolean(peek(j)))
		return fail(err, "%s: not a boolean", key);
	*ret = json_is_true(peek(j));
	return 0;
}

int json_opt_object(const struct json *o, const char *key,
		    const struct json **ret, struct json_error *err)
{
	const struct json *j = NULL;
	int r;

	r = find_typed(o, key, JSON_OBJECT, "an object", &j, err);
	if (r == 0 && j)
		*ret = j;
	return r;
}

int json_opt_array(const struct json *o, const char *key,
		   const struct json **ret, struct json_error *err)
{
	const struct json *j = NULL;
	int r;

	r = find_typed(o, key, JSON_ARRAY, "an array", &j, err);
	if (r == 0 && j)
		*ret = j;
	return r;
}

void json_error_prefix(struct json_error *err, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	size_t n;
	va_list ap;

	if (!err)
		return;
	memcpy(text, err->text, sizeof(text));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	snprintf(err->text + n, sizeof(err->text) - n, "%s", text);
}

/* One character or, if it is no UTF-8, byte; *n is how much was used. */
static int add_char(struct str *out, const char *s, size_t *n)
{
	size_t len = utf8_sequence(s, strnlen(s, 4));

	*n = len ? len : 1;
	if (len == 0)
		return str_add(out, "\xef\xbf\xbd");
	if (*s == '"' || *s == '\\')
		return str_addf(out, "\\%c", *s);
	if (len == 1 && (unsigned char)*s < 0x20)
		return str_addf(out, "\\u%04x", (unsigned int)*s);
	return str_addn(out, s, len);
}

int json_add_string(struct str *out, const char *s)
{
	size_t before = out->len, n;
	int r;

	r = str_addc(out, '"');
	for (; r == 0 && *s; s += n)
		r = add_char(out, s, &n);
	if (r == 0)
		r = str_addc(out, '"');
	if (r < 0)
		str_truncate(out, before);
	return r;
}
