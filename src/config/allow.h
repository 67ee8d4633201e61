/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The allow list: may this host or repository be touched?  Patterns are
 * HOST[/PATH], '*' matches within a component, a trailing slash-star-star or
 * a bare host covers everything beneath, "*.example.com" sub-domains.  Strict
 * once patterns are given; without any everything is allowed, except with
 * allow_other, where only hosts with credentials are.  SOURCE is always
 * allowed.  Any thread.
 */
#include <stdbool.h>

#include "config/dockerauth.h"
#include "config/options.h"

struct allow;
struct hosts;
int allow_new(const struct options *o, struct dockerauth *a,
	      struct allow **ret); /* -EINVAL: bad pattern, said on stderr */
void allow_free(struct allow *a);
/* What registries.conf blocks is not allowed either; `h` must outlive it. */
void allow_add_blocked(struct allow *a, const struct hosts *h);
/* Where that is written ("FILE:LINE"), or NULL. */
const char *allow_blocked(struct allow *a, const char *host,
			  const char *repository);
/* Could anything on this host be allowed? */
bool allow_host(struct allow *a, const char *host);
/* `repository` may also be a prefix of allowed ones: then true as well, so
 * that directories on the way can be entered; allow_exact is for content. */
bool allow_path(struct allow *a, const char *host, const char *repository);
bool allow_exact(struct allow *a, const char *host, const char *repository);
/* Why something is not, if nothing blocks it: the end of a sentence about it.
 */
const char *allow_reason(const struct allow *a);
/* Do the patterns name this host and everything on it?  Unlike the others it
 * is not enough that nothing forbids it. */
bool allow_names(const struct allow *a, const char *host);
/* By its own name, not by one that fits many: for what needs trust. */
bool allow_spells(const struct allow *a, const char *host);
/* Hosts that can be named without asking anybody: patterns without '*',
 * credentials, SOURCE. */
int allow_known_hosts(struct allow *a, struct string_list *ret);
