/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What people paste when they mean a registry or an image: references, URLs of
 * registries and of their web pages, short names.  Pure. */
#include <stdbool.h>

#include "oci/reference.h"

#define CHECK_NAME_MAX 2048

struct check_name {
	struct reference ref; /* canonical */
	bool plain_http;      /* an http URL */
	bool is_short;	      /* the host was not written */
	bool is_official;     /* library/ was not written */
	bool is_page, is_api; /* of the web site, of the API */
	bool is_hostish;      /* "alpine:3": also an image's short name */
};

/* -EINVAL with the end of a sentence about it, which does not repeat it: it
 * may hold a password. */
int check_name_parse(const char *s, struct check_name *ret,
		     const char **ret_reason);
