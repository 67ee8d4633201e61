/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As AWS's own tools read it: sections in brackets, `name = value`, comments
 * behind # or ;, indented lines belong to the setting above and are not ours.
 * Profiles that get their keys elsewhere (a role, a process, a single sign-on)
 * are refused by name, so that nobody wonders why.
 */
#include "config/awscred.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/trustfile.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/str.h"

#define WARNINGS_MAX 3 /* lines of one file that are complained about */

void awskeys_done(struct awskeys *k)
{
	free(k->id);
	credential_wipe(k->secret);
	credential_wipe(k->session);
	*k = (struct awskeys){.id = NULL};
}

static int copy_all(const char *id, const char *secret, const char *session,
		    struct awskeys *ret)
{
	autoawskeys copy = {.id = strdup(id), .secret = strdup(secret)};

	copy.session = session ? strdup(session) : NULL;
	if (!copy.id || !copy.secret || (session && !copy.session))
		return -ENOMEM;
	*ret = copy;
	copy = (struct awskeys){.id = NULL};
	return 0;
}

/* Goes into a header line, and into the text that is signed. */
static bool is_value(const char *s, size_t n)
{
	if (n == 0 || n > AWSCRED_VALUE_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] <= ' ' || s[i] >= 0x7f)
			return false;
	}
	return true;
}

/* --- the file --- */

struct reading {
	const char *profile, *where;
	struct awskeys keys;
	bool inside, found, elsewhere, unusable;
	unsigned line, warnings;
};

struct piece {
	const char *s;
	size_t n;
};

static struct piece trim(const char *s, size_t n)
{
	while (n && isspace((unsigned char)s[0])) {
		s++;
		n--;
	}
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	return (struct piece){s, n};
}

static bool is(struct piece p, const char *name)
{
	return p.n == strlen(name) && strncasecmp(p.s, name, p.n) == 0;
}

static void complain(struct reading *r, const char *what)
{
	if (r->warnings++ < WARNINGS_MAX)
		log_warning("%s:%u: %s", r->where, r->line, what);
}

static void enter(struct reading *r, const char *s, size_t n)
{
	const char *end = memchr(s, ']', n);
	struct piece name;

	r->inside = false;
	if (!end) {
		complain(r, "is no [profile]");
		return;
	}
	name = trim(s + 1, (size_t)(end - s) - 1);
	r->inside = name.n == strlen(r->profile) &&
		    memcmp(name.s, r->profile, name.n) == 0;
	r->found |= r->inside;
}

static int keep(struct reading *r, struct piece value, char **place)
{
	char *copy;

	if (!is_value(value.s, value.n)) {
		complain(r, "the key is empty, too long or not plain text");
		r->unusable = true;
		return 0;
	}
	copy = strndup(value.s, value.n);
	if (!copy)
		return -ENOMEM;
	credential_wipe(*place);
	*place = copy;
	return 0;
}

static bool is_from_elsewhere(struct piece name)
{
	static const char *const names[] = {
		"role_arn",	  "source_profile",
		"sso_session",	  "credential_source",
		"sso_start_url",  "credential_process",
		"sso_account_id", "web_identity_token_file",
		"login_session",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (is(name, names[i]))
			return true;
	}
	return false;
}

static int take(struct reading *r, const char *s, size_t n)
{
	const char *equals = memchr(s, '=', n);
	struct piece name, value;

	if (!equals) {
		complain(r, "is not NAME = VALUE");
		return 0;
	}
	name = trim(s, (size_t)(equals - s));
	value = trim(equals + 1, n - (size_t)(equals + 1 - s));
	/* What follows a blank is a comment: no key has one. */
	for (size_t i = 0; i < value.n; i++) {
		if (isspace((unsigned char)value.s[i]))
			value.n = i;
	}
	if (is(name, "aws_access_key_id"))
		return keep(r, value, &r->keys.id);
	if (is(name, "aws_secret_access_key"))
		return keep(r, value, &r->keys.secret);
	if (is(name, "aws_session_token") || is(name, "aws_security_token"))
		return keep(r, value, &r->keys.session);
	r->elsewhere |= is_from_elsewhere(name);
	return 0;
}

static int read_line(struct reading *r, const char *s, size_t n)
{
	r->line++;
	while (n && isspace((unsigned char)s[n - 1]))
		n--;
	if (n == 0 || isspace((unsigned char)*s) || *s == '#' || *s == ';')
		return 0;
	if (*s == '[')
		enter(r, s, n);
	else if (r->inside)
		return take(r, s, n);
	return 0;
}

static int conclude(struct reading *r, struct awskeys *ret,
		    const char **ret_reason)
{
	if (!r->found)
		return -ENOENT;
	if (r->unusable) {
		*ret_reason = "has unusable keys";
		return -EINVAL;
	}
	if (!r->keys.id || !r->keys.secret) {
		*ret_reason = r->elsewhere
				      ? "gets its keys from elsewhere (a role, "
					"a process, single sign-on): use the "
					"credential helper ecr-login"
				      : "has no aws_access_key_id and "
					"aws_secret_access_key";
		return -EINVAL;
	}
	*ret = r->keys;
	r->keys = (struct awskeys){.id = NULL};
	return 0;
}

int awscred_parse(const char *text, size_t len, const char *profile,
		  const char *where, struct awskeys *ret,
		  const char **ret_reason)
{
	struct reading rd = {.profile = profile, .where = where};
	int r = 0;

	while (len > 0 && r == 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		r = read_line(&rd, text, n);
		n += end != NULL;
		text += n;
		len -= n;
	}
	if (r == 0)
		r = conclude(&rd, ret, ret_reason);
	awskeys_done(&rd.keys);
	return r;
}

/* --- where they are --- */

struct awscred {
	char *path; /* of the file, as it was named at the start; or NULL */
	pthread_mutex_t lock; /* protects all below */
	bool told;	      /* what is wrong with the variables */
	bool known;	      /* the rest is as `id` (or its absence) left it */
	struct trustfile_id id;
	int error; /* 0: keys */
	struct awskeys keys;
};

static const char *variable(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

static int find_path(char **ret)
{
	const char *chosen = variable("AWS_SHARED_CREDENTIALS_FILE");
	autofree char *home = NULL;
	char *path;
	int r;

	if (chosen)
		return userdirs_absolute(chosen, ret);
	r = userdirs_home(&home);
	if (r < 0)
		return r;
	path = str_printf("%s/.aws/credentials", home);
	if (!path)
		return -ENOMEM;
	*ret = path;
	return 0;
}

int awscred_new(struct awscred **ret)
{
	struct awscred *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	if (find_path(&a->path) == -ENOMEM) {
		free(a);
		return -ENOMEM;
	}
	pthread_mutex_init(&a->lock, NULL);
	*ret = a;
	return 0;
}

void awscred_free(struct awscred *a)
{
	if (!a)
		return;
	awskeys_done(&a->keys);
	pthread_mutex_destroy(&a->lock);
	free(a->path);
	free(a);
}

static bool is_good(const char *s)
{
	return s && is_value(s, strlen(s));
}

static int from_variables(struct awscred *a, struct awskeys *ret)
{
	const char *id = variable("AWS_ACCESS_KEY_ID");
	const char *secret = variable("AWS_SECRET_ACCESS_KEY");
	const char *session = variable("AWS_SESSION_TOKEN");

	if (!id && !secret)
		return -ENOENT;
	if (!is_good(id) || !is_good(secret) ||
	    (session && !is_good(session))) {
		if (!a->told)
			log_warning("$AWS_ACCESS_KEY_ID, "
				    "$AWS_SECRET_ACCESS_KEY, "
				    "$AWS_SESSION_TOKEN: one is missing or no "
				    "key");
		a->told = true;
		return -EACCES;
	}
	return copy_all(id, secret, session, ret);
}

static int refuse(const char *path, const char *reason)
{
	log_warning("AWS credentials file %s %s", path, reason);
	return -EACCES;
}

static int read_file(struct awscred *a, const char *path)
{
	const char *chosen = variable("AWS_PROFILE");
	const char *profile = chosen ? chosen : "default";
	autofree char *buf = NULL;
	const char *reason = "";
	size_t len;
	int r;

	r = trustfile_read(path, AWSCRED_FILE_MAX, &buf, &len, &a->id, &reason);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0)
		return refuse(path, reason);
	if (a->id.mode & (S_IRGRP | S_IROTH))
		log_warning("AWS credentials file %s can be read by others "
			    "(chmod go-r)",
			    path);
	r = awscred_parse(buf, len, profile, path, &a->keys, &reason);
	explicit_bzero(buf, len);
	if (r == -ENOENT && chosen)
		return refuse(path, "does not have the profile that "
				    "$AWS_PROFILE names");
	if (r == -EINVAL) {
		log_warning("AWS credentials file %s: profile %.64s %s", path,
			    profile, reason);
		return -EACCES;
	}
	return r;
}

/* Nothing of ours is in a directory that is closed to us. */
static int load(struct awscred *a)
{
	const char *path = a->path;
	struct trustfile_id id = {.size = 0};
	int r = path ? trustfile_stat(path, &id) : -ENOENT;

	if (r < 0) {
		a->known = false;
		return r == -ENOMEM ? r : -ENOENT;
	}
	if (a->known && trustfile_same(&a->id, &id))
		return a->error;
	awskeys_done(&a->keys);
	a->id = id;
	a->error = read_file(a, path);
	a->known = a->error != -ENOMEM;
	return a->error;
}

int awscred_find(struct awscred *a, struct awskeys *ret)
{
	int r;

	autolock(&a->lock);
	r = from_variables(a, ret);
	if (r != -ENOENT)
		return r;
	r = load(a);
	if (r == 0)
		r = copy_all(a->keys.id, a->keys.secret, a->keys.session, ret);
	return r;
}
