/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files there are.  One that cannot be used may block anything, and
 * containers' own tools would do nothing at all with it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/conffile.h"
#include "config/registriesconf.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/str.h"

#define SYSTEM "/etc/containers/registries.conf"
#define DROPINS_MAX 256

static int load_file(const char *path, struct registriesconf *c)
{
	struct conffile f = {.path = path, .reason = "cannot be read"};
	autofree char *where = NULL;
	struct toml *root;
	int r = conffile_load(&f, &root);

	if (r == -ENOMEM || r == -ENOENT)
		return r;
	if (r < 0) {
		where = str_printf("%s, which %s", path, f.reason);
		return where ? registriesconf_block_all(c, where, 0) : -ENOMEM;
	}
	r = registriesconf_read(&f, root, c);
	toml_free(root);
	return r;
}

static int is_dropin(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_suffix(e->d_name, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_dir(const char *dir, struct registriesconf *c)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_dropin, by_name);
	int r = 0;

	if (n < 0 && (errno == ENOMEM || errno == ENOENT))
		return errno == ENOMEM ? -ENOMEM : 0;
	if (n < 0 || n > DROPINS_MAX)
		r = registriesconf_block_all(c, dir, 0);
	for (int i = 0; i < n; i++) {
		autofree char *path =
			str_printf("%s/%s", dir, names[i]->d_name);

		if (r == 0 && i < DROPINS_MAX)
			r = path ? load_file(path, c) : -ENOMEM;
		if (r == -ENOENT)
			r = 0;
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return r;
}

static int load_main(const char *own, struct registriesconf *c)
{
	const char *told = getenv("CONTAINERS_REGISTRIES_CONF");
	int r = -ENOENT;

	if (told && *told) {
		r = load_file(told, c);
		if (r == -ENOENT)
			log_warning("%s does not exist", told);
		return r;
	}
	if (own)
		r = load_file(own, c);
	return r == -ENOENT ? load_file(SYSTEM, c) : r;
}

int registriesconf_load(struct registriesconf *ret)
{
	struct registriesconf c = {.v = NULL};
	autofree char *dir = NULL;
	autofree char *own = NULL;
	autofree char *dropins = NULL;
	int r = userdirs_config(&dir);

	if (r == 0) {
		own = str_printf("%s/containers/registries.conf", dir);
		dropins = str_printf("%s/containers/registries.conf.d", dir);
		r = own && dropins ? 0 : -ENOMEM;
	}
	if (r == 0 || r == -ENOENT)
		r = load_main(own, &c);
	if (r == 0 || r == -ENOENT)
		r = load_dir(SYSTEM ".d", &c);
	if (r == 0 && dropins)
		r = load_dir(dropins, &c);
	if (r < 0) {
		registriesconf_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}
