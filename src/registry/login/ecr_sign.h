/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * AWS Signature Version 4 of a JSON request: POST, no query (registries.md
 * D.4).  Here and not in libcurl, which keeps its copy of the secret with the
 * connection, and frees it as it is.  Pure.
 */
#include <stdint.h>

#include "config/awscred.h"
#include "http/url.h"
#include "registry/wire/lines.h"

struct ecr_request {
	const struct awskeys *keys;
	const struct url *url;
	const char *region, *service;
	const char *target; /* "Service_Version.Action" */
	const char *body;
	int64_t now; /* seconds since 1970 */
};

/* All lines but Accept: what is signed, and Authorization.  -EINVAL: a path
 * that would have to be encoded, or a time that is none. */
int ecr_sign(const struct ecr_request *q, struct lines *l);
