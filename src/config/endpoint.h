/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A place of the API that a configuration file names: a mirror, or where a
 * registry really is.  What it does not say is as for that host otherwise
 * (hosts.h).  Immutable once read.
 */
#include <stdbool.h>

#include "config/stringlist.h"

enum endpoint_scheme {
	ENDPOINT_USUAL, /* as for that host otherwise */
	ENDPOINT_HTTPS,
	ENDPOINT_HTTP,
	ENDPOINT_EITHER, /* "insecure": unverified https, or http */
};

struct endpoint {
	char *where; /* "FILE:LINE" */
	char *host;  /* "h:5000": also whose credentials are used */
	char *path;  /* what all begins with there: "/v2" */
	enum endpoint_scheme scheme;
	bool has_verify, verify;	/* TLS */
	struct string_list cas;		/* files */
	char *client_cert, *client_key; /* files, or NULL */
	struct string_list headers;	/* "Name: value"; secrets */
	bool resolve, pull;		/* may be asked by tag, by digest */
	bool push; /* may be written to, if it is no mirror */
	bool ns;   /* wants to be told whom it stands for */
};

void endpoint_free(struct endpoint *e); /* NULL is fine */
/* The host itself, by another description. */
bool endpoint_is_own(const struct endpoint *e, const char *host);
/*
 * "[http[s]://]HOST[:PORT][/PATH]" into host, scheme and *ret_path ("" or
 * "/path").  -EINVAL with the end of a sentence.
 */
int endpoint_parse(const char *s, struct endpoint *e, char **ret_path,
		   const char **ret_why);
