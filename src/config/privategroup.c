/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several lines may have the same number: all of them must agree.  One that
 * does not fit may say anything, so nothing is certain then.
 */
#include "config/privategroup.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"

#define LINE_BYTES_MAX ((size_t)256 << 10) /* with a pointer to each member */

static void close_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define autofile __attribute__((cleanup(close_file))) FILE

/* Whose first group it is; NULL if it is not the user's, or another's too. */
static char *only_user(const char *path, char *buf, uid_t uid, gid_t gid)
{
	autofile *f = fopen(path, "re");
	autofree char *name = NULL;
	struct passwd line = {0}, *p;
	int r;

	if (!f)
		return NULL;
	while ((r = fgetpwent_r(f, &line, buf, LINE_BYTES_MAX, &p)) == 0) {
		if (p->pw_gid != gid)
			continue;
		if (p->pw_uid != uid)
			return NULL;
		if (!name)
			name = strdup(p->pw_name);
	}
	return r == ENOENT ? steal(&name) : NULL;
}

static bool is_of(const struct group *g, const char *name)
{
	if (strcmp(g->gr_name, name) != 0)
		return false;
	for (char **member = g->gr_mem; *member; member++) {
		if (strcmp(*member, name) != 0)
			return false;
	}
	return true;
}

static bool has_no_other(const char *path, char *buf, const char *name,
			 gid_t gid)
{
	autofile *f = fopen(path, "re");
	struct group line = {0}, *g;
	bool found = false;
	int r;

	if (!f)
		return false;
	while ((r = fgetgrent_r(f, &line, buf, LINE_BYTES_MAX, &g)) == 0) {
		if (g->gr_gid != gid)
			continue;
		if (!is_of(g, name))
			return false;
		found = true;
	}
	return r == ENOENT && found;
}

bool privategroup_is(const char *passwd, const char *group, uid_t uid,
		     gid_t gid)
{
	autofree char *buf = malloc(LINE_BYTES_MAX);
	autofree char *name = buf ? only_user(passwd, buf, uid, gid) : NULL;

	return name && has_no_other(group, buf, name, gid);
}
