/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate for URLs that answers name (faults.md 0.9), and the cache of
 * redirect targets: without it every range of a blob costs the registry a
 * request and us a round trip.
 */
#include "registry/wire/redirect.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/auto.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/map.h"
#include "util/str.h"

#define MARGIN_S 30
#define LIFE_MAX_S 21600

enum http_peer redirect_host_class(const char *host)
{
	if (strcasecmp(host, "localhost") == 0 ||
	    (strlen(host) > 10 && str_suffix(host, ".localhost")))
		return HTTP_PEER_LOOPBACK;
	return http_peer_class(host);
}

static bool is_nearer(const char *from, const char *host, enum http_peer peer)
{
	enum http_peer class = redirect_host_class(host);

	/* Behind a proxy nobody knows where a name is; then it is taken to be
	 * far away, for the proxy may well be near. */
	if (peer == HTTP_PEER_ANY)
		peer = redirect_host_class(from);
	if (peer == HTTP_PEER_ANY)
		peer = HTTP_PEER_PUBLIC;
	return class != HTTP_PEER_ANY && class < peer;
}

int redirect_judge(const char *from, const char *to, enum http_peer peer,
		   char **ret, const char **ret_why)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	autofree char *absolute = NULL;
	const char *why = NULL;
	int r;

	r = url_parse(from, &a);
	if (r < 0)
		return r;
	r = url_resolve(from, to, &absolute);
	if (r == 0)
		r = url_parse(absolute, &b);
	if (r == -ENOMEM)
		goto out;
	if (r < 0)
		why = "is no http or https URL";
	else if (a.https && !b.https)
		why = "leaves https";
	else if (!url_same_origin(&a, &b) && is_nearer(a.host, b.host, peer))
		why = "points into a nearer network";
	r = -EACCES;
	if (!why)
		r = url_format(&b, ret);
	else
		*ret_why = why;
out:
	url_done(&a);
	url_done(&b);
	return r;
}

/* The decoded value of a query parameter, names compared without case. */
static int parameter(const char *query, const char *name, struct str *ret)
{
	size_t n = strlen(name);

	str_clear(ret);
	for (const char *p = query; p && *p;) {
		size_t len = strcspn(p, "&");

		if (len > n && p[n] == '=' && strncasecmp(p, name, n) == 0)
			return percent_decode(p + n + 1, len - n - 1, ret);
		p += len + (p[len] == '&');
	}
	return -ENOENT;
}

/* "20240501T100000Z", the only form of X-Amz-Date and X-Goog-Date. */
static int parse_basic_time(const char *s, int64_t *ret)
{
	char text[32];
	struct timespec ts;
	int r;

	if (strlen(s) != 16 || s[8] != 'T' || s[15] != 'Z')
		return -EINVAL;
	memset(text, 0, sizeof(text));
	memcpy(text, s, 4);
	text[4] = text[7] = '-';
	memcpy(text + 5, s + 4, 2);
	memcpy(text + 8, s + 6, 2);
	text[10] = 'T';
	memcpy(text + 11, s + 9, 2);
	text[13] = text[16] = ':';
	memcpy(text + 14, s + 11, 2);
	memcpy(text + 17, s + 13, 2);
	text[19] = 'Z';
	r = clock_parse_rfc3339(text, &ts);
	if (r == 0)
		*ret = ts.tv_sec;
	return r;
}

/* A signature's date plus its life. */
static int signed_until(const char *query, const char *date_name,
			const char *life_name, int64_t *ret)
{
	autostr text = {.max = URL_MAX};
	unsigned long long life = 0;
	int64_t date;
	int r;

	r = parameter(query, date_name, &text);
	if (r < 0 || !text.buf)
		return -ENOENT;
	r = parse_basic_time(text.buf, &date);
	if (r == 0)
		r = parameter(query, life_name, &text);
	if (r == 0)
		r = str_to_u64(text.buf ? text.buf : "", 1 << 30, &life);
	if (r == 0)
		*ret = date + (int64_t)life;
	return r;
}

/* A point in time: seconds since 1970, or RFC 3339 (Azure's `se`). */
static int plain_until(const char *query, const char *name, int64_t *ret)
{
	autostr text = {.max = URL_MAX};
	unsigned long long seconds;
	struct timespec ts;
	int r;

	r = parameter(query, name, &text);
	if (r < 0 || !text.buf)
		return -ENOENT;
	if (str_to_u64(text.buf, (unsigned long long)1 << 40, &seconds) == 0) {
		*ret = (int64_t)seconds;
		return 0;
	}
	r = clock_parse_rfc3339(text.buf, &ts);
	if (r == 0)
		*ret = ts.tv_sec;
	return r;
}

uint64_t redirect_life_ms(const char *url, int64_t wall)
{
	static const char *const plain[] = {"Expires", "se", "e", "exp"};
	const char *query = strchr(url, '?');
	int64_t until = 0;
	int r;

	if (!query)
		return REDIRECT_DEFAULT_MS;
	query++;
	r = signed_until(query, "X-Amz-Date", "X-Amz-Expires", &until);
	if (r < 0)
		r = signed_until(query, "X-Goog-Date", "X-Goog-Expires",
				 &until);
	for (size_t i = 0; r < 0 && i < sizeof(plain) / sizeof(*plain); i++)
		r = plain_until(query, plain[i], &until);
	if (r < 0)
		return REDIRECT_DEFAULT_MS;
	until -= wall + MARGIN_S;
	if (until <= 0)
		return 0;
	return (uint64_t)(until < LIFE_MAX_S ? until : LIFE_MAX_S) * 1000;
}

struct target {
	uint64_t until_ms;
	char url[];
};

struct redirects {
	pthread_mutex_t lock; /* protects map */
	struct map *map;      /* key -> struct target */
};

static void target_free(void *p)
{
	struct target *t = p;

	if (!t)
		return;
	explicit_bzero(t->url, strlen(t->url));
	free(t);
}

int redirects_new(struct redirects **ret)
{
	struct redirects *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = map_new(&c->map);
	if (r < 0) {
		free(c);
		return r;
	}
	pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return 0;
}

void redirects_free(struct redirects *c)
{
	if (!c)
		return;
	map_free(c->map, target_free);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int redirects_find(struct redirects *c, const char *key, char **ret_url)
{
	struct target *t;
	char *url;

	autolock(&c->lock);
	t = map_find(c->map, key);
	if (!t)
		return -ENOENT;
	if (clock_ms() >= t->until_ms) {
		target_free(map_remove(c->map, key));
		return -ENOENT;
	}
	url = strdup(t->url);
	if (!url)
		return -ENOMEM;
	*ret_url = url;
	return 0;
}

/* Room for one more: what is over first, then whatever comes to hand. */
static void make_room(struct redirects *c)
{
	uint64_t now = clock_ms();
	const char *key;
	struct target *t;
	size_t pos = 0;

	if (map_len(c->map) < REDIRECTS_MAX)
		return;
	while ((t = map_next(c->map, &pos, &key))) {
		if (now >= t->until_ms)
			target_free(map_remove(c->map, key));
	}
	pos = 0;
	while (map_len(c->map) >= REDIRECTS_MAX && map_next(c->map, &pos, &key))
		target_free(map_remove(c->map, key));
}

void redirects_keep(struct redirects *c, const char *key, const char *url)
{
	uint64_t life_ms = redirect_life_ms(url, clock_wall());
	size_t n = strlen(url);
	struct target *t;
	void *old = NULL;

	if (life_ms == 0)
		return;
	t = malloc(sizeof(*t) + n + 1);
	if (!t)
		return;
	t->until_ms = clock_ms() + life_ms;
	memcpy(t->url, url, n + 1);
	autolock(&c->lock);
	make_room(c);
	if (map_put(c->map, key, t, &old) < 0)
		old = t;
	target_free(old);
}

void redirects_drop(struct redirects *c, const char *key, const char *url)
{
	struct target *t;

	autolock(&c->lock);
	t = map_find(c->map, key);
	if (t && (!url || strcmp(t->url, url) == 0))
		target_free(map_remove(c->map, key));
}
