/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bounded JSON from strangers over jansson: before parsing, a scan refuses
 * more than `max_bytes`, more than JSON_MAX_VALUES values or a depth over
 * JSON_MAX_DEPTH (4 MiB of "{}" cost jansson 300 MiB); duplicate keys and NUL
 * in strings are refused.  Failures are -EBADMSG (or -ENOMEM) and fill
 * `err` (may be NULL), which never quotes the document: it may hold secrets.
 *
 * Typed getters: `null` counts as absent.  The required form (json_need_*)
 * fails on absence, the optional one leaves the default.  `struct json` is
 * immutable after the parse: any thread may read it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_VALUES 200000
#define JSON_MAX_DEPTH 64

struct json; /* a value: object, array, string, number ... (jansson's json_t) */

struct json_error {
	char text[160]; /* "manifests[3].size: not an integer" */
};

int json_parse(const char *buf, size_t len, size_t max_bytes, struct json **ret,
	       struct json_error *err);
/* As above for what clients wrote (auth files): duplicates: last one wins. */
int json_parse_lenient(const char *buf, size_t len, size_t max_bytes,
		       struct json **ret, struct json_error *err);
void json_free(struct json *j); /* only what json_parse returned */

bool json_is_object(const struct json *j);
bool json_is_array(const struct json *j);
bool json_is_string(const struct json *j);
size_t json_len(const struct json *j); /* array; else 0 */
/* NULL: absent. */
const struct json *json_at(const struct json *a, size_t i);
/* NULL: absent or null. */
const struct json *json_find(const struct json *o, const char *key);
const char *json_text(const struct json *j); /* NULL: no string */
#define json_string json_text /* jansson exports a json_string of its own */
/* Object iteration in document order: start with *iter = NULL. */
bool json_each(const struct json *o, void **iter, const char **ret_key,
	       const struct json **ret_value);

/* Members of object `o`.  -EBADMSG with "key: what" in err (may be NULL). */
int json_need_string(const struct json *o, const char *key, const char **ret,
		     struct json_error *err);
int json_opt_string(const struct json *o, const char *key, const char **ret,
		    struct json_error *err);
int json_need_u64(const struct json *o, const char *key, uint64_t max,
		  uint64_t *ret, struct json_error *err);
int json_opt_u64(const struct json *o, const char *key, uint64_t max,
		 uint64_t *ret, struct json_error *err);
/* Whole seconds of a time that may have a fraction. */
int json_opt_seconds(const struct json *o, const char *key, int64_t *ret,
		     struct json_error *err);
int json_opt_bool(const struct json *o, const char *key, bool *ret,
		  struct json_error *err);
int json_opt_object(const struct json *o, const char *key,
		    const struct json **ret, struct json_error *err);
int json_opt_array(const struct json *o, const char *key,
		   const struct json **ret, struct json_error *err);
/* Puts "prefix" before the text of an error, to name the way to the field. */
void json_error_prefix(struct json_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Writing: a string literal with quotes and escapes (bytes that are no UTF-8
 * become U+FFFD).  Documents are written with str_addf and this. */
struct str;
int json_add_string(struct str *out, const char *s);
