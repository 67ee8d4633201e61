/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A path is a stack of components: those of the mount's source, of the link's
 * directory, and of the target, of which "." and ".." are worked off.  The last
 * of them say which image it is.
 */
#include "fs/linktarget.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/str.h"

#define COMPONENTS_MAX 128

struct path {
	const char *v[COMPONENTS_MAX];
	size_t len;
	size_t root; /* ".." does not lead out of the mount */
	char text[2 * PATH_MAX];
	size_t used;
	struct reference_name name; /* what the last component says */
};

static int push_component(struct path *p, const char *s, size_t n)
{
	char *at = p->text + p->used;

	if (n == 0 || (n == 1 && s[0] == '.'))
		return 0;
	if (n == 2 && s[0] == '.' && s[1] == '.') {
		if (p->len <= p->root)
			return -EINVAL;
		p->len--;
		return 0;
	}
	if (p->len == COMPONENTS_MAX || n >= sizeof(p->text) - p->used)
		return -EINVAL;
	memcpy(at, s, n);
	at[n] = '\0';
	p->used += n + 1;
	p->v[p->len++] = at;
	return 0;
}

static int push_path(struct path *p, const char *s)
{
	int r = 0;

	while (*s && r == 0) {
		size_t n = strcspn(s, "/");

		r = push_component(p, s, n);
		s += n + (s[n] == '/');
	}
	return r;
}

/* The part of an absolute path that is beneath the mount; NULL: none is. */
static const char *beneath(const char *mountpoint, const char *path)
{
	size_t n = strlen(mountpoint);

	while (n > 0 && mountpoint[n - 1] == '/')
		n--;
	if (strncmp(path, mountpoint, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

/* host, then all components up to the last `skip`. */
static int set_repository(const struct path *p, size_t skip,
			  struct reference *ret)
{
	size_t len = 0;

	if (p->len < skip + 2 || reference_parse_host(p->v[0], ret->host) < 0)
		return -EINVAL;
	ret->repository[0] = '\0';
	for (size_t i = 1; i < p->len - skip; i++) {
		int n = snprintf(ret->repository + len,
				 sizeof(ret->repository) - len, "%s%s",
				 i > 1 ? "/" : "", p->v[i]);

		if (n < 0 || (size_t)n >= sizeof(ret->repository) - len)
			return -EINVAL;
		len += (size_t)n;
	}
	return reference_is_repository(ret->repository) ? 0 : -EINVAL;
}

static int set_tag(struct reference *ret, const char *tag)
{
	if (!reference_is_tag(tag))
		return -EINVAL;
	snprintf(ret->tag, sizeof(ret->tag), "%s", tag);
	return 0;
}

static int set_digest(struct reference *ret, const char *name)
{
	int r = reference_parse_digest_name(name, &ret->digest);

	ret->has_digest = r == 0;
	return r;
}

/* app:1.4 and app@sha256:…; `p` is changed. */
static int set_by_name(struct path *p, struct reference *ret)
{
	struct reference_name *name = &p->name;

	if (reference_parse_name(p->v[p->len - 1], name) < 0 ||
	    name->kind == REFERENCE_COMPONENT)
		return -EINVAL;
	p->v[p->len - 1] = name->component;
	if (name->kind == REFERENCE_TAG) {
		snprintf(ret->tag, sizeof(ret->tag), "%s", name->tag);
	} else {
		ret->digest = name->digest;
		ret->has_digest = true;
	}
	return set_repository(p, 0, ret);
}

static int interpret(struct path *p, struct reference *ret)
{
	const char *last, *kind;
	int r;

	if (p->len < 2)
		return -EINVAL;
	last = p->v[p->len - 1];
	kind = p->v[p->len - 2];
	if (strcmp(kind, "_tags") == 0)
		r = set_digest(ret, last) < 0 ? set_tag(ret, last) : 0;
	else if (strcmp(kind, "_manifests") == 0)
		r = set_digest(ret, last);
	else
		return set_by_name(p, ret);
	return r < 0 ? -EINVAL : set_repository(p, 2, ret);
}

int link_target_parse(const struct options *o, const char *dir,
		      const char *target, struct reference *ret)
{
	struct reference found = {.tag = ""};
	struct path p = {.len = 0};
	int r;

	r = o->source ? push_path(&p, o->source) : 0;
	p.root = p.len;
	if (r == 0 && target[0] == '/') {
		target = beneath(o->mountpoint, target);
		r = target ? 0 : -EINVAL;
	} else if (r == 0) {
		r = push_path(&p, dir);
	}
	if (r == 0)
		r = push_path(&p, target);
	if (r == 0)
		r = interpret(&p, &found);
	if (r == 0)
		*ret = found;
	return r;
}
