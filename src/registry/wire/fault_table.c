/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From foreign failures to errno: HTTP status with the first OCI error code,
 * the engine's reasons, and error bodies.  Pure; the table of faults.md 3.
 * Whether a 404 can be believed at all depends on who said it, which is
 * judged where the answer is at hand.
 */
#include "registry/wire/fault_table.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "util/encode.h"
#include "util/json.h"

#define FAULT_BODY_MAX ((size_t)1 << 20)
#define ANY_STATUS 0

/* First match wins.  code NULL: any code. */
static const struct fault_row {
	int status;
	const char *code;
	int error;
} fault_rows[] = {
	{401, NULL, EACCES},
	{403, "QUOTA_EXCEEDED", EDQUOT},
	{403, NULL, EACCES},
	{429, NULL, ETIMEDOUT},
	{408, NULL, ETIMEDOUT},
	{404, NULL, ENOENT},
	{410, NULL, ENOENT},
	{405, NULL, EROFS},
	{413, NULL, EFBIG},
	{507, NULL, EDQUOT},
	{ANY_STATUS, "UNAUTHORIZED", EACCES},
	{ANY_STATUS, "DENIED", EACCES},
	{ANY_STATUS, "TOOMANYREQUESTS", ETIMEDOUT},
	{ANY_STATUS, "TAG_IMMUTABLE", EPERM},
	{412, NULL, EPERM}, /* Harbor: tag "configured as immutable" */
	{ANY_STATUS, "UNSUPPORTED", EROFS},
	{ANY_STATUS, "BLOB_UNKNOWN", ENOENT},
	{ANY_STATUS, "MANIFEST_BLOB_UNKNOWN", ENOENT},
	{ANY_STATUS, "MANIFEST_UNKNOWN", ENOENT},
	{ANY_STATUS, "NAME_UNKNOWN", ENOENT},
	{ANY_STATUS, "NAME_INVALID", EINVAL},
	{ANY_STATUS, "TAG_INVALID", EINVAL},
	{ANY_STATUS, "DIGEST_INVALID", EINVAL},
	{ANY_STATUS, "MANIFEST_INVALID", EINVAL},
	{ANY_STATUS, "MANIFEST_UNVERIFIED", EINVAL},
	{415, NULL, EINVAL}, /* zot: no Docker media types */
};

int fault_from_status(int status, const char *code)
{
	for (size_t i = 0; i < sizeof(fault_rows) / sizeof(*fault_rows); i++) {
		const struct fault_row *row = &fault_rows[i];

		/* A 5xx is trouble over there whatever it calls itself. */
		if (row->status == ANY_STATUS ? status < 400 || status >= 500
					      : row->status != status)
			continue;
		if (!row->code || strcasecmp(row->code, code) == 0)
			return -row->error;
	}
	return -EIO;
}

/* What a change is refused for is often only said in prose.  First match wins;
 * a row needs one of its words, in code or message. */
static const struct word_row {
	int status;
	const char *words[6];
	int error;
} word_rows[] = {
	{400, {"quota"}, EDQUOT},
	{403, {"quota", "storage limit", "exceed"}, EDQUOT},
	{405, {"quota"}, EDQUOT},
	{409, {"quota", "storage limit", "exceed"}, EDQUOT},
	{412, {"quota", "storage limit", "exceed"}, EDQUOT},
	{400,
	 {"immutable", "cannot be overwritten", "does not allow updating"},
	 EPERM},
	{400, {"MANIFEST_DANGLING", "still referenced"}, EPERM}, /* Google */
	{403, {"immutable", "cannot be overwritten", "protected"}, EPERM},
	{409, {"immutable", "cannot be overwritten", "protected"}, EPERM},
};

static bool says(const struct word_row *row, const char *text)
{
	for (size_t i = 0; i < sizeof(row->words) / sizeof(*row->words); i++)
		if (row->words[i] && strcasestr(text, row->words[i]))
			return true;
	return false;
}

int fault_from_refusal(int status, const char *code, const char *text)
{
	/* Too many requests are not too many bytes. */
	bool is_rate = strcasestr(text, "rate limit") != NULL;

	for (size_t i = 0; i < sizeof(word_rows) / sizeof(*word_rows); i++) {
		const struct word_row *row = &word_rows[i];

		if (row->status != status || (is_rate && row->error == EDQUOT))
			continue;
		if (says(row, code) || says(row, text))
			return -row->error;
	}
	return fault_from_status(status, code);
}

int fault_from_fail(enum http_fail fail)
{
	switch (fail) {
	case HTTP_FAIL_NONE:
		return 0;
	case HTTP_FAIL_REFUSED:
		return -ECONNREFUSED;
	case HTTP_FAIL_DNS:
	case HTTP_FAIL_DNS_AGAIN:
	case HTTP_FAIL_UNREACHABLE:
		return -EHOSTUNREACH;
	case HTTP_FAIL_CONNECT:
	case HTTP_FAIL_STALL:
		return -ETIMEDOUT;
	case HTTP_FAIL_TOO_LARGE:
		return -EFBIG;
	case HTTP_FAIL_TLS:
	case HTTP_FAIL_PEER:
	case HTTP_FAIL_RESET:
	case HTTP_FAIL_SHORT:
	case HTTP_FAIL_PROTOCOL:
	case HTTP_FAIL_CANCELLED:
	case HTTP_FAIL_LOCAL:
		break;
	}
	return -EIO;
}

void fault_copy(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size) {
		n = size - 1;
		while (n && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(to, from, n);
	to[n] = '\0';
}

bool fault_is_html(const char *body, size_t len)
{
	static const char *const starts[] = {"<!doctype html", "<html", "<head",
					     "<?xml", "<!--"};
	size_t i = 0;

	if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0)
		i = 3;
	while (i < len && strchr(" \t\r\n", body[i]) && body[i])
		i++;
	for (size_t k = 0; k < sizeof(starts) / sizeof(*starts); k++) {
		size_t n = strlen(starts[k]);

		if (len - i >= n && strncasecmp(body + i, starts[k], n) == 0)
			return true;
	}
	return false;
}

/* {"errors":[{"code":C,"message":M}]}; true if it has that shape. */
static bool read_oci(const struct json *doc, char code[64],
		     char text[FAULT_TEXT_MAX])
{
	const struct json *first = json_at(json_find(doc, "errors"), 0);
	const char *s;

	if (!json_is_object(first))
		return false;
	s = json_string(json_find(first, "code"));
	if (s)
		fault_copy(code, 64, s);
	s = json_string(json_find(first, "message"));
	/* distribution repeats itself in `detail` unless it has news there. */
	if (!s || !*s)
		s = json_string(json_find(first, "detail"));
	if (s)
		fault_copy(text, FAULT_TEXT_MAX, s);
	return true;
}

/* Token servers and vendors have their own words for it. */
static void read_other(const struct json *doc, char code[64],
		       char text[FAULT_TEXT_MAX])
{
	static const char *const keys[] = {"error_description", "details",
					   "message", "detail"};
	const struct json *error = json_find(doc, "error");
	const char *s = json_string(error);

	if (s)
		fault_copy(code, 64, s);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		s = json_string(json_find(doc, keys[i]));
		if (!s && json_is_object(error))
			s = json_string(json_find(error, keys[i]));
		if (s && *s) {
			fault_copy(text, FAULT_TEXT_MAX, s);
			return;
		}
	}
}

/* First line of a short plain text ("Not Authorized"). */
static void read_plain(const char *body, size_t len, char text[FAULT_TEXT_MAX])
{
	size_t n = 0;

	while (n < len && n < FAULT_TEXT_MAX - 1 && body[n] &&
	       body[n] != '\n' && body[n] != '\r')
		n++;
	for (size_t i = 0; i < n;) {
		size_t u = utf8_sequence(body + i, n - i);

		if (u == 0)
			n = i; /* not text, or cut within a sequence */
		i += u;
	}
	memcpy(text, body, n);
	text[n] = '\0';
}

bool fault_read_body(const char *body, size_t len, char code[64],
		     char text[FAULT_TEXT_MAX])
{
	struct json *doc = NULL;
	bool oci = false;

	code[0] = text[0] = '\0';
	if (len == 0)
		return false;
	if (json_parse_lenient(body, len, FAULT_BODY_MAX, &doc, NULL) == 0) {
		oci = read_oci(doc, code, text);
		if (!oci)
			read_other(doc, code, text);
		json_free(doc);
	} else if (!fault_is_html(body, len) && body[0] != '{') {
		read_plain(body, len, text);
	}
	return oci;
}

void fault_parse_body(const char *body, size_t len, char code[64],
		      char text[FAULT_TEXT_MAX])
{
	fault_read_body(body, len, code, text);
}
