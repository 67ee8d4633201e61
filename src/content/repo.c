/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories in use, one object each, found again by name. */
#include "content/repo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "store/rows.h"
#include "util/auto.h"

static void repo_free(struct repo *r)
{
	if (!r)
		return;
	listing_unref(r->tags);
	vec_done(&r->changes);
	pthread_mutex_destroy(&r->lock);
	free(r->host);
	free(r->name);
	free(r->key);
	free(r);
}

static int repo_new(struct content *c, const char *key, const char *host,
		    const char *name, struct repo **ret)
{
	struct repo *r = calloc(1, sizeof(*r));
	int e = -ENOMEM;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	r->content = c;
	r->refs = 1;
	r->host = strdup(host);
	r->name = strdup(name);
	r->key = strdup(key);
	if (r->host && r->name && r->key)
		e = registries_get(c->registries, host, &r->registry);
	if (e < 0) {
		repo_free(r);
		return e;
	}
	*ret = r;
	return 0;
}

int repo_open(struct content *c, const char *host, const char *name,
	      struct repo **ret)
{
	autofree char *key = str_printf("%s/%s", host, name);
	struct repo *found, *made;
	int r;

	if (!key)
		return -ENOMEM;
	r = content_allowed(c, host, name);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	found = map_find(c->repos, key);
	if (found)
		found->refs++;
	pthread_mutex_unlock(&c->lock);
	if (found) {
		*ret = found;
		return 0;
	}

	r = repo_new(c, key, host, name, &made);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	found = map_find(c->repos, key);
	if (found)
		found->refs++;
	else
		r = map_put(c->repos, key, made, NULL);
	pthread_mutex_unlock(&c->lock);
	if (found || r < 0)
		repo_free(made);
	if (r < 0)
		return r;
	*ret = found ? found : made;
	return 0;
}

struct repo *repo_ref(struct repo *r)
{
	autolock(&r->content->lock);
	r->refs++;
	return r;
}

void repo_unref(struct repo *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->content->lock);
	if (--r->refs > 0) {
		pthread_mutex_unlock(&r->content->lock);
		return;
	}
	map_remove(r->content->repos, r->key);
	pthread_mutex_unlock(&r->content->lock);
	repo_free(r);
}

const char *repo_host(const struct repo *r)
{
	return r->host;
}

const char *repo_name(const struct repo *r)
{
	return r->name;
}

struct content *repo_content(const struct repo *r)
{
	return r->content;
}

struct registry *repo_registry(struct repo *r)
{
	return r->registry;
}

void repo_mark_seen(struct repo *r)
{
	{
		autolock(&r->lock);
		if (r->seen)
			return;
		r->seen = true;
	}
	repository_seen(r->content->store, r->host, r->name);
}

int repo_identity(struct repo *r, char out[17])
{
	return registry_identity(r->registry, r->name, out);
}

static int add_digest(void *arg, const struct grant_row *row)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(&row->digest, text);
	return string_list_add(arg, text);
}

int repo_digests(struct repo *r, bool manifests, struct string_list *ret)
{
	char identity[17];
	int e;

	e = repo_identity(r, identity);
	if (e < 0)
		return e;
	return grant_each(r->content->store, r->host, r->name, identity,
			  manifests ? GRANT_MANIFEST : GRANT_BLOB, add_digest,
			  ret);
}
