/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* containerd's certs.d/HOST/hosts.toml (registries.md C.6).  Pure, but for
 * the log. */
#include <stddef.h>

#include "config/endpoint.h"

#define HOSTSTOML_ENDPOINTS_MAX 64

struct conffile;
struct toml;

struct hoststoml {
	struct endpoint **v; /* in order, `server` last if it is written */
	size_t len, cap;
	bool has_server; /* the last one */
};

/* `host` is whom the file is for ("docker.io"), `dir` where relative file
 * names begin. */
int hoststoml_read(struct conffile *f, const struct toml *root,
		   const char *host, const char *dir, struct hoststoml *ret);
void hoststoml_done(struct hoststoml *h);
