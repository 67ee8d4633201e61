/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The URL of an upload session, as a registry's Location names it (RFC 3986
 * against the URL just requested; registries.md 0.1, D.7).  Opaque: it may lie
 * outside /v2/, hold a state in its query, and is a secret.  Pure.
 */
#include "config/allow.h"
#include "http/http.h"
#include "oci/digest.h"

/*
 * `location` as seen from `from` (call_url), absolute.  Where only the scheme
 * of the same host is downgraded (a registry that does not know of its TLS
 * proxy), https is kept.  peer: as in redirect_judge.  -EACCES with the reason:
 * not a URL to go to.
 */
int push_location(const char *from, const char *location, enum http_peer peer,
		  char **ret, const char **ret_why);
/*
 * May the bytes go there?  To the registry's own host (`home` is its base URL),
 * whatever the scheme, and to hosts that the allow list names (NULL: none;
 * faults.md A8).  -EACCES with the reason.
 */
int push_location_judge(const char *home, const char *url, struct allow *allow,
			const char **ret_why);
/* With "digest=ALG%3AHEX" added to what query there is. */
int push_location_digest(const char *url, const struct digest *d, char **ret);
