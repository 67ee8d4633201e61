/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Credentials where users already keep them: docker's config.json and
 * containers' auth.json, credential helpers (registries.md C.5).  Files are
 * read at access and again when they changed; the longest matching path wins.
 * A mount works without any.  Any thread; may wait for a helper (10 s).
 */
#include <stdbool.h>

#include "config/credential.h"
#include "config/stringlist.h"

struct dockerauth;
int dockerauth_new(const char *authfile /* or NULL */, struct dockerauth **ret);
void dockerauth_free(struct dockerauth *a);
/*
 * The credential for host/repository ("" for the host itself); kind NONE if
 * there is none.  -EACCES: a helper failed or hung, a file is unreadable or
 * not to be trusted (writable by others): logged, with the reason.
 */
int dockerauth_find(struct dockerauth *a, const char *host,
		    const char *repository, struct credential *ret);
/* Where it is from, for people: a file's or a helper's name; NULL: there is
 * none. */
int dockerauth_where(struct dockerauth *a, const char *host,
		     const char *repository, char **ret);
/* Forget helpers' answers and parsed files: look again next time. */
void dockerauth_refresh(struct dockerauth *a);
/* Hosts for which credentials are configured (not their values). */
int dockerauth_hosts(struct dockerauth *a, struct string_list *ret);
/* HttpHeaders of docker's config.json: "Name: value" lines; may be empty. */
int dockerauth_headers(struct dockerauth *a, struct string_list *ret);
