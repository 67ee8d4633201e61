/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * URLs as strangers give them (RFC 3986), http and https only.  Control
 * characters, blanks, user info and anything unparsable are refused, so what
 * passed can be put into a request.  Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#define URL_MAX 16384

struct url {
	bool https;
	char *host; /* lower case; IPv6 without brackets */
	uint16_t port;
	bool has_port; /* was written */
	char *path;    /* begins with '/', still encoded */
	char *query;   /* after '?', still encoded, or NULL */
};

int url_parse(const char *s, struct url *ret); /* -EINVAL */
void url_done(struct url *u);
/* Reference resolution (RFC 3986 5.2) of `ref` against `base`. */
int url_resolve(const char *base, const char *ref, char **ret);
bool url_same_origin(const struct url *a,
		     const struct url *b); /* scheme host port */
/* Appends "key=value" (value is percent-encoded) with '?' or '&'. */
int url_add_query(char **url, const char *key, const char *value);
int url_format(const struct url *u, char **ret);
/* Adds "host", "host:5000", "[::1]:5000": the port only if it is not usual. */
struct str;
int url_place(const struct url *u, struct str *out);
/* Without query and fragment: the form allowed in logs.  Caller frees. */
char *url_redact(const char *s);
