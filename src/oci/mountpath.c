/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reserved names begin with `_`, which no component of a repository does: the
 * first of them ends the repository's name, and so does the first `:` or `@`
 * (or `+`) beneath the host.
 */
#include "oci/mountpath.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COMPONENT_MAX 255

static const struct reserved {
	const char *name;
	enum mountpath_kind all, one;
} reserved[] = {
	{"_tags", MOUNTPATH_TAGS, MOUNTPATH_IMAGE},
	{"_manifests", MOUNTPATH_MANIFESTS, MOUNTPATH_IMAGE},
	{"_blobs", MOUNTPATH_BLOBS, MOUNTPATH_BLOB},
	{"_layers", MOUNTPATH_LAYERS, MOUNTPATH_LAYER},
	{"_rootfs", MOUNTPATH_ROOTFSES, MOUNTPATH_ROOTFS},
};
#define RESERVED (sizeof(reserved) / sizeof(reserved[0]))

struct scan {
	const char *path; /* the whole of it */
	const char *at;	  /* what was not looked at yet */
	char name[COMPONENT_MAX + 1];
};

/* 1: the next component is in `name`; 0: there is none. */
static int scan_next(struct scan *s)
{
	size_t n = strcspn(s->at, "/");

	if (n == 0)
		return *s->at ? -EINVAL : 0;
	if (n > COMPONENT_MAX)
		return -EINVAL;
	memcpy(s->name, s->at, n);
	s->name[n] = '\0';
	s->at += n;
	if (*s->at == '/' && *++s->at == '\0')
		return -EINVAL;
	return 1;
}

static int add_component(struct mountpath *p, const char *name)
{
	size_t have = strlen(p->repository);
	int n;

	n = snprintf(p->repository + have, sizeof(p->repository) - have, "%s%s",
		     have ? "/" : "", name);
	return n < 0 || (size_t)n >= sizeof(p->repository) - have ? -EINVAL : 0;
}

/* blobs/ALG/HEX of an image. */
static int find_blob(struct mountpath *p)
{
	char alg[16];
	size_t n;

	if (strncmp(p->rest, "blobs/", 6) != 0)
		return 0;
	n = strcspn(p->rest + 6, "/");
	if (p->rest[6 + n] != '/' || n >= sizeof(alg))
		return 0;
	memcpy(alg, p->rest + 6, n);
	alg[n] = '\0';
	if (digest_parse_parts(alg, p->rest + 7 + n, &p->digest) < 0)
		return -EINVAL;
	p->kind = MOUNTPATH_BLOB;
	p->rest += strlen(p->rest);
	return 0;
}

static int parse_reserved(struct scan *s, struct mountpath *p)
{
	const struct reserved *r = NULL;
	int n;

	for (size_t i = 0; i < RESERVED && !r; i++)
		if (strcmp(s->name, reserved[i].name) == 0)
			r = &reserved[i];
	if (!r || !p->repository[0])
		return -EINVAL;
	p->kind = r->all;
	p->rest = s->at;
	n = scan_next(s);
	if (n <= 0)
		return n;
	p->kind = r->one;
	p->rest = s->at;
	if (r->all == MOUNTPATH_TAGS) {
		if (!reference_is_tag(s->name))
			return -EINVAL;
		memcpy(p->tag, s->name, strlen(s->name) + 1);
	} else if (reference_parse_digest_name(s->name, &p->digest) < 0) {
		return -EINVAL;
	}
	if (p->kind == MOUNTPATH_BLOB)
		return *p->rest ? -EINVAL : 0;
	return p->kind == MOUNTPATH_IMAGE ? find_blob(p) : 0;
}

/* A component of the repository's name; 1: and an image's, too. */
static int parse_component(struct scan *s, struct mountpath *p)
{
	struct reference_name ref;
	int r = reference_parse_name(s->name, &ref);

	if (r == 0)
		r = add_component(p, ref.component);
	if (r < 0)
		return r;
	if (ref.kind == REFERENCE_COMPONENT) {
		p->repository_len = (size_t)(s->at - s->path);
		if (s->at > s->path && s->at[-1] == '/')
			p->repository_len--;
		return 0;
	}
	p->repository_len = (size_t)(s->at - s->path) - strlen(s->name);
	if (s->at[-1] == '/')
		p->repository_len--;
	p->repository_len += strlen(ref.component);
	p->kind = MOUNTPATH_IMAGE;
	p->rest = s->at;
	if (ref.kind == REFERENCE_TAG)
		snprintf(p->tag, sizeof(p->tag), "%s", ref.tag);
	else
		p->digest = ref.digest;
	return 1;
}

static int parse_source(const char *source, struct mountpath *p)
{
	size_t n = strcspn(source, "/");

	if (n >= sizeof(p->host) ||
	    strlen(source + n) > sizeof(p->repository) - 1)
		return -EINVAL;
	memcpy(p->host, source, n);
	if (source[n] == '/')
		snprintf(p->repository, sizeof(p->repository), "%s",
			 source + n + 1);
	return 0;
}

int mountpath_parse(const char *path, const char *source, struct mountpath *ret)
{
	struct mountpath p = {.kind = MOUNTPATH_WAY};
	struct scan s = {.path = path, .at = path};
	int r = source ? parse_source(source, &p) : 0;

	while (r == 0 && (r = scan_next(&s)) > 0) {
		if (strcmp(s.name, ".registryfs") == 0 &&
		    s.at - path <= (ptrdiff_t)strlen(".registryfs/")) {
			p.kind = MOUNTPATH_ABOUT;
			p.rest = s.at;
			break;
		}
		if (!p.host[0]) {
			r = reference_parse_host(s.name, p.host);
			continue;
		}
		if (s.name[0] == '_') {
			r = parse_reserved(&s, &p);
			break;
		}
		r = parse_component(&s, &p);
		if (r > 0) {
			r = find_blob(&p);
			break;
		}
	}
	if (r < 0)
		return r;
	if (!p.rest)
		p.rest = path + strlen(path);
	*ret = p;
	return 0;
}
