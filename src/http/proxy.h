/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which proxy the environment asks for, by libcurl's rules.  Decided here and
 * not in libcurl, because it must be known whether a connected address is
 * the server's or a proxy's before any judgement is based on it.
 */
#include "http/url.h"

struct proxy_env {
	char *http, *https, *all, *no; /* NULL if unset */
};

int proxy_env_load(struct proxy_env *ret); /* -ENOMEM */
void proxy_env_done(struct proxy_env *e);
/* The proxy's URL, or NULL: straight to the server. */
const char *proxy_find(const struct proxy_env *e, const struct url *u);
