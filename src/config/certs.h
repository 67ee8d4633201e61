/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What lies in one host's directory of certs.d (registries.md C.5): *.crt are
 * additional CAs, X.cert with X.key a client pair.
 */
#include "config/stringlist.h"

struct certs {
	struct string_list cas;		/* paths, in lexical order */
	char *client_cert, *client_key; /* the first pair, or NULL */
};

#define CERTS_WHY_MAX 1024
/* -ENOENT: no such directory.  -EINVAL: half a pair, or unreadable; ret_why
 * says which. */
int certs_scan(const char *dir, struct certs *ret, char ret_why[CERTS_WHY_MAX]);
void certs_done(struct certs *c);
