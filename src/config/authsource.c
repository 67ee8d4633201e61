/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file is examined at each access and read only if it is another one than
 * last time; a fault is logged once per state of the file, not per access.
 */
#include "config/authsource.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/authenv.h"
#include "config/userdirs.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/str.h"

#define ENVIRONMENT "DOCKER_AUTH_CONFIG"

static void wipe(struct str *s)
{
	if (s->buf)
		explicit_bzero(s->buf, s->len);
	str_done(s);
}

void authsource_done(struct authsource *s)
{
	free(s->path);
	authfile_free(s->file);
	*s = (struct authsource){.path = NULL};
}

/* Takes `path`, which may be NULL for lack of memory. */
static int add(struct authsource *list, size_t *len, char *path,
	       struct authsource s)
{
	if (!path)
		return -ENOMEM;
	s.path = path;
	list[(*len)++] = s;
	return 0;
}

/* A file named by the user, relative to where we were started. */
static int add_chosen(struct authsource *list, size_t *len, const char *path)
{
	char *absolute = NULL;
	int r;

	r = userdirs_absolute(path, &absolute);
	if (r < 0)
		return r;
	return add(list, len, absolute, (struct authsource){.chosen = true});
}

static int add_containers(struct authsource *list, size_t *len)
{
	autofree char *runtime = NULL;
	autofree char *config = NULL;
	char *path;
	int r;

	r = userdirs_runtime(&runtime);
	if (r == -ENOMEM)
		return r;
	if (runtime)
		path = str_printf("%s/containers/auth.json", runtime);
	else
		path = str_printf("/run/containers/%u/auth.json",
				  (unsigned int)geteuid());
	r = add(list, len, path, (struct authsource){.legacy = false});
	if (r < 0)
		return r;
	r = userdirs_config(&config);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	path = str_printf("%s/containers/auth.json", config);
	return add(list, len, path, (struct authsource){.legacy = false});
}

static int add_docker(struct authsource *list, size_t *len)
{
	const char *dir = getenv("DOCKER_CONFIG");
	autofree char *absolute = NULL;
	autofree char *home = NULL;
	char *path;
	int r;

	if (dir && *dir) {
		r = userdirs_absolute(dir, &absolute);
		if (r < 0)
			return r;
		path = str_printf("%s/config.json", absolute);
		r = add(list, len, path, (struct authsource){.legacy = false});
		if (r < 0)
			return r;
	}
	r = userdirs_home(&home);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!absolute) {
		path = str_printf("%s/.docker/config.json", home);
		r = add(list, len, path, (struct authsource){.legacy = false});
		if (r < 0)
			return r;
	}
	path = str_printf("%s/.dockercfg", home);
	return add(list, len, path, (struct authsource){.legacy = true});
}

/* The text is parsed at once; nothing keeps a copy of it. */
static int add_text(struct authsource *list, size_t *len, const char *text,
		    const char *name, const char *const *hosts)
{
	struct authsource s = {.name = name, .known = true, .hosts = hosts};
	const char *reason;
	int r;

	if (!text || !*text)
		return 0;
	r = authfile_parse(text, strlen(text), false, name, &s.file, &reason);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		log_warning("%s %s", name, reason);
		s.error = -EACCES;
	}
	list[(*len)++] = s;
	return 0;
}

static int add_google(struct authsource *list, size_t *len)
{
	const char *path = getenv("GOOGLE_APPLICATION_CREDENTIALS");
	char *absolute = NULL;
	int r;

	if (!path || !*path)
		return 0;
	r = userdirs_absolute(path, &absolute);
	if (r < 0)
		return r;
	return add(list, len, absolute,
		   (struct authsource){.chosen = true,
				       .google = true,
				       .hosts = authenv_google_hosts});
}

static int add_variables(struct authsource *list, size_t *len)
{
	struct str gitlab = {.len = 0}, azure = {.len = 0};
	int r = authenv_gitlab(&gitlab);

	if (r == 0)
		r = authenv_azure(&azure);
	if (r == 0)
		r = add_text(list, len, gitlab.buf, "$CI_REGISTRY", NULL);
	if (r == 0)
		r = add_google(list, len);
	if (r == 0)
		r = add_text(list, len, azure.buf, "$AZURE_CLIENT_SECRET",
			     authenv_azure_hosts);
	wipe(&gitlab);
	wipe(&azure);
	return r;
}

int authsource_list(const char *authfile, struct authsource *ret,
		    size_t *ret_len)
{
	const char *only = authfile ? authfile : getenv("REGISTRY_AUTH_FILE");
	struct authsource list[AUTHSOURCE_MAX];
	size_t len = 0;
	int r;

	r = add_text(list, &len, getenv(ENVIRONMENT), "$" ENVIRONMENT, NULL);
	if (r == 0 && only && *only) {
		r = add_chosen(list, &len, only);
	} else if (r == 0) {
		r = add_containers(list, &len);
		if (r == 0)
			r = add_docker(list, &len);
	}
	if (r == 0)
		r = add_variables(list, &len);
	if (r < 0) {
		while (len > 0)
			authsource_done(&list[--len]);
		return r;
	}
	memcpy(ret, list, len * sizeof(*list));
	*ret_len = len;
	return 0;
}

static int refused(const struct authsource *s, int r, const char *reason)
{
	log_warning("credentials file %s %s: %s", s->path, reason,
		    strerror(-r));
	return -EACCES;
}

static int parse(struct authsource *s, const char *buf, size_t len,
		 const char **ret_reason)
{
	struct str text = {.len = 0};
	int r;

	if (!s->google)
		return authfile_parse(buf, len, s->legacy, s->path, &s->file,
				      ret_reason);
	r = authenv_google(buf, len, &text, ret_reason);
	if (r == 0)
		r = authfile_parse(text.buf, text.len, false, s->path, &s->file,
				   ret_reason);
	wipe(&text);
	return r;
}

static int read_and_parse(struct authsource *s)
{
	autofree char *buf = NULL;
	const char *reason;
	size_t len;
	int r;

	r = trustfile_read(s->path, AUTHFILE_MAX, &buf, &len, &s->id, &reason);
	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0)
		return refused(s, r, reason);
	/* Containers get theirs so. */
	if (s->id.mode & (S_IRGRP | S_IROTH) && !s->google)
		log_warning("credentials file %s can be read by others "
			    "(chmod go-r)",
			    s->path);
	r = parse(s, buf, len, &reason);
	explicit_bzero(buf, len);
	if (r < 0 && r != -ENOMEM)
		return refused(s, r, reason);
	return r;
}

static void set_absent(struct authsource *s)
{
	if (s->chosen && !(s->known && s->absent))
		log_warning("credentials file %s does not exist", s->path);
	authfile_free(steal(&s->file));
	s->error = 0;
	s->known = s->absent = true;
}

/* Only directories on the way are closed to us: nothing of ours is there. */
static bool is_out_of_reach(const struct authsource *s, int r)
{
	return !s->chosen && r == -EACCES;
}

static int reload(struct authsource *s, const struct trustfile_id *id)
{
	int r;

	s->id = *id;
	authfile_free(steal(&s->file));
	s->known = s->absent = false;
	r = read_and_parse(s);
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT) {
		set_absent(s);
		return 0;
	}
	s->error = r;
	s->known = true;
	return r;
}

/* Says so once, not per access: there is no state of the file to compare. */
static int set_unreachable(struct authsource *s, int r)
{
	if (!s->known || s->absent || s->id.size >= 0)
		refused(s, r, "cannot be examined");
	authfile_free(steal(&s->file));
	s->id = (struct trustfile_id){.size = -1};
	s->error = -EACCES;
	s->known = true;
	s->absent = false;
	return s->error;
}

static int load_file(struct authsource *s)
{
	struct trustfile_id id;
	int r;

	r = trustfile_stat(s->path, &id);
	if (r == -ENOENT || is_out_of_reach(s, r)) {
		set_absent(s);
		return 0;
	}
	if (r < 0)
		return set_unreachable(s, r);
	if (s->known && !s->absent && trustfile_same(&s->id, &id))
		return s->error;
	return reload(s, &id);
}

int authsource_load(struct authsource *s, const struct authfile **ret)
{
	int r = s->path ? load_file(s) : s->error;

	/* Other programs' affair: it takes nothing from this one's users. */
	if (r == -EACCES && s->google)
		r = 0;
	if (r == 0)
		*ret = s->file;
	return r;
}

static bool is_for(const char *const *hosts, const char *host)
{
	while (*hosts && fnmatch(*hosts, host, FNM_CASEFOLD) != 0)
		hosts++;
	return *hosts;
}

int authsource_find(const struct authsource *s, const struct authfile *file,
		    const char *host, const char *repository,
		    struct authfile_match *ret)
{
	if (!s->hosts)
		return authfile_find(file, host, repository, ret);
	if (is_for(s->hosts, host))
		return authfile_find(file, AUTHENV_ANY, "", ret);
	*ret = (struct authfile_match){.helper = NULL};
	return 0;
}

void authsource_forget(struct authsource *s)
{
	if (s->path && !s->absent)
		s->known = false;
}
