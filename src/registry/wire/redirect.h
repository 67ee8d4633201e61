/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where strangers send us: the judgement on a URL named by an answer, and the
 * memory of where a registry keeps its blobs.  Signed URLs are secrets: they
 * live here only and are never logged.  The judge is pure; the cache may be
 * used by any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "http/http.h"
#include "http/url.h"

#define REDIRECT_HOPS_MAX 5
#define REDIRECTS_MAX 1024
#define REDIRECT_DEFAULT_MS 60000

/*
 * `to` as seen from `from`, absolute.  -EACCES with the reason: not http(s),
 * user info, https to http, or a literal address (or localhost) nearer to us
 * than `peer`, the class of who named it (ANY: behind a proxy, unknown).
 */
int redirect_judge(const char *from, const char *to, enum http_peer peer,
		   char **ret, const char **ret_why);
/* The class of a host as written: literals and localhost; ANY for names. */
enum http_peer redirect_host_class(const char *host);
/* How long (ms from now) a signed URL is good, by its own parameters; 0: no
 * longer, or too short to keep.  `wall` is clock_wall(). */
uint64_t redirect_life_ms(const char *url, int64_t wall);

struct redirects;
int redirects_new(struct redirects **ret);
void redirects_free(struct redirects *c);
/* -ENOENT; else a copy, to be freed. */
int redirects_find(struct redirects *c, const char *key, char **ret_url);
/* Kept as long as its parameters allow; failing to keep it is no failure. */
void redirects_keep(struct redirects *c, const char *key, const char *url);
/* If it is still that URL; NULL: whatever it is. */
void redirects_drop(struct redirects *c, const char *key, const char *url);
