/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places are asked in the order of registries.md C.5, what vendors' tools have
 * in the environment last, and the first that has something wins.  Within one
 * place: what is written for a path, then the helper (of the host, else the
 * general one), then what is written for the host.  A fault in one place (a
 * helper that hangs, a file that cannot be trusted) is an answer only when no
 * other place has one: a broken file of one tool must not take away the
 * credentials of the others.
 */
#include "config/dockerauth.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "config/authsource.h"
#include "config/helpercache.h"
#include "config/hostname.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/str.h"

struct dockerauth {
	pthread_mutex_t lock;
	struct authsource sources[AUTHSOURCE_MAX]; /* protected by lock */
	size_t len;
	struct helpercache *helpers;
};

int dockerauth_new(const char *authfile, struct dockerauth **ret)
{
	struct dockerauth *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	r = helpercache_new(&a->helpers);
	if (r == 0)
		r = authsource_list(authfile, a->sources, &a->len);
	if (r < 0) {
		helpercache_free(a->helpers);
		free(a);
		return r;
	}
	pthread_mutex_init(&a->lock, NULL);
	*ret = a;
	return 0;
}

void dockerauth_free(struct dockerauth *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->len; i++)
		authsource_done(&a->sources[i]);
	helpercache_free(a->helpers);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* What one place says, copied, so that a helper can be run without the lock. */
struct lookup {
	char *helper;
	struct credential written;
	bool is_path, broken;
};

static void lookup_done(struct lookup *l)
{
	free(l->helper);
	credential_done(&l->written);
}

static int look_up(struct dockerauth *a, size_t i, const char *host,
		   const char *repository, struct lookup *l)
{
	const struct authfile *file;
	struct authfile_match m;
	int r;

	autolock(&a->lock);
	r = authsource_load(&a->sources[i], &file);
	if (r < 0 || !file)
		return r;
	r = authsource_find(&a->sources[i], file, host, repository, &m);
	if (r < 0)
		return r;
	l->is_path = m.is_path;
	l->broken = m.broken;
	if (m.helper && !m.is_path) {
		l->helper = strdup(m.helper);
		if (!l->helper)
			return -ENOMEM;
	}
	return m.credential ? credential_copy(m.credential, &l->written) : 0;
}

/* How helpers, fed by docker login, know the host. */
static const char *helper_server(const char *host)
{
	const char *name = hostname_canonical(host);

	return strcmp(name, "docker.io") == 0 ? "https://index.docker.io/v1/"
					      : name;
}

/* *ret_helper is the helper's name if it is from one, else left alone. */
static int find_in(struct dockerauth *a, size_t i, const char *host,
		   const char *repository, struct credential *ret,
		   char **ret_helper)
{
	__attribute__((cleanup(lookup_done))) struct lookup l = {.helper =
									 NULL};
	autocredential told = {.kind = CREDENTIAL_NONE};
	int r;

	r = look_up(a, i, host, repository, &l);
	if (r == 0 && l.helper)
		r = helpercache_get(a->helpers, l.helper, helper_server(host),
				    clock_ms(), &told);
	if (r == -ENOMEM)
		return r;
	if (told.kind != CREDENTIAL_NONE) {
		*ret_helper = steal(&l.helper);
		return credential_copy(&told, ret);
	}
	if (l.written.kind != CREDENTIAL_NONE)
		return credential_copy(&l.written, ret);
	return l.broken ? -EACCES : r;
}

static int describe(const struct authsource *s, const char *helper, char **ret)
{
	const char *file = s->path ? s->path : s->name;

	if (helper)
		*ret = str_printf("the helper docker-credential-%s (named in "
				  "%s)",
				  helper, file);
	else
		*ret = strdup(file);
	return *ret ? 0 : -ENOMEM;
}

/* `ret_where` may be NULL. */
static int find(struct dockerauth *a, const char *host, const char *repository,
		struct credential *ret, char **ret_where)
{
	int fault = 0;

	for (size_t i = 0; i < a->len; i++) {
		autocredential c = {.kind = CREDENTIAL_NONE};
		autofree char *helper = NULL;
		int r;

		r = find_in(a, i, host, repository, &c, &helper);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			fault = r;
		if (c.kind == CREDENTIAL_NONE)
			continue;
		if (ret_where)
			r = describe(&a->sources[i], helper, ret_where);
		if (r < 0)
			return r;
		*ret = c;
		c = (struct credential){.kind = CREDENTIAL_NONE};
		return 0;
	}
	if (fault == 0)
		*ret = (struct credential){.kind = CREDENTIAL_NONE};
	return fault;
}

int dockerauth_find(struct dockerauth *a, const char *host,
		    const char *repository, struct credential *ret)
{
	return find(a, host, repository, ret, NULL);
}

int dockerauth_where(struct dockerauth *a, const char *host,
		     const char *repository, char **ret)
{
	autocredential c = {.kind = CREDENTIAL_NONE};

	*ret = NULL;
	return find(a, host, repository, &c, ret);
}

void dockerauth_refresh(struct dockerauth *a)
{
	helpercache_forget(a->helpers);
	autolock(&a->lock);
	for (size_t i = 0; i < a->len; i++)
		authsource_forget(&a->sources[i]);
}

int dockerauth_hosts(struct dockerauth *a, struct string_list *ret)
{
	autostrings hosts = {.v = NULL};

	autolock(&a->lock);
	for (size_t i = 0; i < a->len; i++) {
		const struct authfile *file = NULL;
		int r;

		r = authsource_load(&a->sources[i], &file);
		/* Variables for all of a vendor's hosts name none. */
		if (r == 0 && file && !a->sources[i].hosts)
			r = authfile_hosts(file, &hosts);
		if (r == -ENOMEM)
			return r;
	}
	for (size_t i = 0; i < hosts.len; i++) {
		int r = string_list_add_once(ret, hosts.v[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int dockerauth_headers(struct dockerauth *a, struct string_list *ret)
{
	const struct string_list *lines = NULL;

	autolock(&a->lock);
	for (size_t i = 0; i < a->len && !lines; i++) {
		const struct authfile *file = NULL;
		int r;

		r = authsource_load(&a->sources[i], &file);
		if (r == -ENOMEM)
			return r;
		if (r == 0 && file && authfile_headers(file)->len > 0)
			lines = authfile_headers(file);
	}
	for (size_t i = 0; lines && i < lines->len; i++) {
		int r = string_list_add(ret, lines->v[i]);

		if (r < 0)
			return r;
	}
	return 0;
}
