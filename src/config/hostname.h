/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a registry host's name alone tells.  Pure. */
#include <stdbool.h>

/* "docker.io" for Docker Hub's other names; any other host as it is. */
const char *hostname_canonical(const char *host);
/* localhost, *.localhost, 127.0.0.0/8, ::1, with or without a port. */
bool hostname_is_loopback(const char *host);
