/* SPDX-License-Identifier: Apache-2.0 */
/* The directory is small and looked at again for each use: certificates are
 * exchanged while a mount is up. */
#include "config/certs.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/log.h"
#include "util/str.h"

#define CERTS_FILES_MAX 256

void certs_done(struct certs *c)
{
	string_list_done(&c->cas);
	free(c->client_cert);
	free(c->client_key);
	*c = (struct certs){.client_cert = NULL};
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_ours(const char *name)
{
	return name[0] != '.' &&
	       (str_suffix(name, ".crt") || str_suffix(name, ".cert") ||
		str_suffix(name, ".key"));
}

__attribute__((format(printf, 2, 3))) static int refuse(char *why,
							const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, CERTS_WHY_MAX, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int list_names(const char *dir, struct string_list *names, char *why)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (!d)
		return refuse(why, "%s: cannot be read: %s", dir,
			      strerror(errno));
	while (r == 0 && (e = readdir(d))) {
		if (is_ours(e->d_name))
			r = string_list_add(names, e->d_name);
		if (names->len > CERTS_FILES_MAX)
			r = refuse(why, "%s: more than %d files", dir,
				   CERTS_FILES_MAX);
	}
	closedir(d);
	if (r == 0 && names->len > 0)
		qsort(names->v, names->len, sizeof(*names->v), compare);
	return r;
}

/* The other half of a client pair must be there. */
static int check_pair(const char *dir, const struct string_list *names,
		      const char *name, const char *suffix, const char *other,
		      char *why)
{
	autofree char *partner = NULL;

	if (!str_suffix(name, suffix))
		return 0;
	partner = str_printf("%.*s%s", (int)(strlen(name) - strlen(suffix)),
			     name, other);
	if (!partner)
		return -ENOMEM;
	if (string_list_has(names, partner))
		return 0;
	return refuse(why, "%s/%s: there is no %s beside it", dir, name,
		      partner);
}

static int add_client(const char *dir, const char *name, struct certs *ret)
{
	size_t n = strlen(name) - strlen(".cert");

	if (ret->client_cert) {
		log_warning("%s: of several client certificates %s is used",
			    dir, ret->client_cert);
		return 0;
	}
	ret->client_cert = str_printf("%s/%s", dir, name);
	ret->client_key = str_printf("%s/%.*s.key", dir, (int)n, name);
	return ret->client_cert && ret->client_key ? 0 : -ENOMEM;
}

static int add_ca(const char *dir, const char *name, struct certs *ret)
{
	autofree char *path = str_printf("%s/%s", dir, name);

	return path ? string_list_add(&ret->cas, path) : -ENOMEM;
}

static int add_file(const char *dir, const struct string_list *names,
		    const char *name, struct certs *ret, char *why)
{
	int r;

	if (str_suffix(name, ".crt"))
		return add_ca(dir, name, ret);
	r = check_pair(dir, names, name, ".cert", ".key", why);
	if (r == 0)
		r = check_pair(dir, names, name, ".key", ".cert", why);
	if (r == 0 && str_suffix(name, ".cert"))
		r = add_client(dir, name, ret);
	return r;
}

int certs_scan(const char *dir, struct certs *ret, char ret_why[CERTS_WHY_MAX])
{
	autostrings names = {.v = NULL};
	struct certs c = {.client_cert = NULL};
	int r;

	r = list_names(dir, &names, ret_why);
	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = add_file(dir, &names, names.v[i], &c, ret_why);
	if (r < 0) {
		certs_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}
