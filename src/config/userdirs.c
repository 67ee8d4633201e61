/* SPDX-License-Identifier: Apache-2.0 */
/* mount(8), systemd and init scripts start us without HOME, so the user
 * database is asked as well. */
#include "config/userdirs.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/str.h"

static int from_environment(const char *name, char **ret)
{
	const char *s = getenv(name);

	if (!s || s[0] != '/')
		return -ENOENT;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int home_of_database(char **ret)
{
	struct passwd entry, *found = NULL;
	autofree char *space = NULL;
	size_t size = 16384;
	char *home;

	space = malloc(size);
	if (!space)
		return -ENOMEM;
	if (getpwuid_r(geteuid(), &entry, space, size, &found) != 0 || !found ||
	    found->pw_dir[0] != '/')
		return -ENOENT;
	home = strdup(found->pw_dir);
	if (!home)
		return -ENOMEM;
	*ret = home;
	return 0;
}

int userdirs_home(char **ret)
{
	int r;

	r = from_environment("HOME", ret);
	return r == -ENOENT ? home_of_database(ret) : r;
}

static int beneath(int dir_r, char *dir_owned, const char *rest, char **ret)
{
	autofree char *dir = dir_owned;
	char *path;

	if (dir_r < 0)
		return dir_r;
	path = str_printf("%s/%s", dir, rest);
	if (!path)
		return -ENOMEM;
	*ret = path;
	return 0;
}

static int variable_or_home(const char *name, const char *rest, char **ret)
{
	char *home = NULL;
	int r;

	r = from_environment(name, ret);
	if (r != -ENOENT)
		return r;
	r = userdirs_home(&home);
	return beneath(r, home, rest, ret);
}

int userdirs_config(char **ret)
{
	return variable_or_home("XDG_CONFIG_HOME", ".config", ret);
}

int userdirs_cache(char **ret)
{
	return variable_or_home("XDG_CACHE_HOME", ".cache", ret);
}

int userdirs_runtime(char **ret)
{
	return from_environment("XDG_RUNTIME_DIR", ret);
}

int userdirs_absolute(const char *path, char **ret)
{
	char *dir = NULL;
	char *copy;
	int r;

	if (str_prefix(path, "~/")) {
		r = userdirs_home(&dir);
		return beneath(r, dir, path + 2, ret);
	}
	if (path[0] != '/') {
		dir = getcwd(NULL, 0);
		return beneath(dir ? 0 : -errno, dir, path, ret);
	}
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}
