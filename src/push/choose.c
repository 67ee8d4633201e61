/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index.json is a list of images, a directory here is one of them.  Tools
 * add to the list what they push, so what is new in it is meant; names decide
 * among several.  What is neither new nor named is not guessed at: the reason
 * says what there is.
 */
#include "push/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/mediatype.h"
#include "util/auto.h"
#include "util/json.h"
#include "util/str.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name" /* BuildKit's, beside REF_NAME */
#define TOLD_MAX 5

AUTOPTR_DEFINE(manifest, manifest_free)

struct choice {
	const struct manifest *index, *old; /* old: or NULL */
	const char *name;
	bool is_digest;
	struct digest digest; /* of the name, if it is one */
	bool has_named;	      /* one of the entries is named so */
};

/* A set of entries: those of one digest count once. */
typedef bool (*entry_test)(const struct choice *c, const struct descriptor *d);

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_new(const struct choice *c, const struct descriptor *d)
{
	const char *name = descriptor_annotation(d, REF_NAME);

	for (size_t i = 0; c->old && i < c->old->children_len; i++) {
		const struct descriptor *o = &c->old->children[i];

		if (digest_equal(&o->digest, &d->digest) &&
		    same_text(descriptor_annotation(o, REF_NAME), name))
			return false;
	}
	return true;
}

/* "1.5" itself, or "localhost/app:1.5", as buildah writes it. */
static bool text_names(const char *text, const char *tag)
{
	size_t n = text ? strlen(text) : 0, m = strlen(tag);

	if (!text || n < m || strcmp(text + n - m, tag) != 0)
		return false;
	return n == m || text[n - m - 1] == ':';
}

static bool is_named(const struct choice *c, const struct descriptor *d)
{
	if (c->is_digest)
		return digest_equal(&d->digest, &c->digest);
	return text_names(descriptor_annotation(d, REF_NAME), c->name) ||
	       text_names(descriptor_annotation(d, FULL_NAME), c->name);
}

/* An image that has a name of its own is not meant where another bears this. */
static bool names_another(const struct choice *c, const struct descriptor *d)
{
	if (is_named(c, d))
		return false;
	return c->is_digest || descriptor_annotation(d, REF_NAME) ||
	       descriptor_annotation(d, FULL_NAME);
}

static bool is_new_and_meant(const struct choice *c, const struct descriptor *d)
{
	return is_new(c, d) && !(c->has_named && names_another(c, d));
}

static bool is_new_and_named(const struct choice *c, const struct descriptor *d)
{
	return is_new(c, d) && is_named(c, d);
}

static bool is_any(const struct choice *c, const struct descriptor *d)
{
	(void)c;
	return d != NULL;
}

/* How many there are, 2 standing for more; *ret is the first. */
static int count(const struct choice *c, entry_test test,
		 const struct descriptor **ret)
{
	const struct descriptor *first = NULL;

	for (size_t i = 0; i < c->index->children_len; i++) {
		const struct descriptor *d = &c->index->children[i];

		if (!test(c, d))
			continue;
		if (first && !digest_equal(&first->digest, &d->digest))
			return 2;
		if (!first)
			first = d;
	}
	if (!first)
		return 0;
	*ret = first;
	return 1;
}

static bool all_have_platforms(const struct manifest *m)
{
	for (size_t i = 0; i < m->children_len; i++) {
		const struct descriptor *d = &m->children[i];

		if (!d->has_platform || !d->platform.os[0] ||
		    !d->platform.arch[0])
			return false;
	}
	return true;
}

static int name_them(const struct choice *c, struct str *why)
{
	const struct manifest *m = c->index;
	char digest[24];
	int r;

	r = str_addf(why,
		     "index.json lists several images, and none is "
		     "new alone or named \"%.140s\":",
		     c->name);
	for (size_t i = 0; i < m->children_len && r == 0; i++) {
		const char *name =
			descriptor_annotation(&m->children[i], REF_NAME);

		if (i == TOLD_MAX) {
			r = str_addf(why, " and %zu more", m->children_len - i);
			break;
		}
		digest_short(&m->children[i].digest, digest);
		r = str_addf(why, "%s %s%s%.100s%s", i ? "," : "", digest,
			     name ? " (" : "", name ? name : "",
			     name ? ")" : "");
	}
	/* A reason that is cut is one still. */
	return r == -ENOMEM ? r : -EINVAL;
}

/* 1: *ret is meant; 0: the file itself is; -EINVAL. */
static int decide(struct choice *c, struct str *why,
		  const struct descriptor **ret)
{
	struct choice before = {.index = c->old,
				.name = c->name,
				.is_digest = c->is_digest,
				.digest = c->digest};
	const struct descriptor *was;
	int fresh;

	c->has_named = count(c, is_named, ret) > 0;
	fresh = count(c, is_new_and_meant, ret);
	if (fresh == 1 || count(c, is_any, ret) == 1)
		return 1;
	if (count(c, fresh ? is_new_and_named : is_named, ret) == 1)
		return 1;
	/* Nothing new, nothing named: then it is what it was. */
	if (!fresh && c->old && decide(&before, NULL, &was) == 1) {
		for (size_t i = 0; i < c->index->children_len; i++) {
			*ret = &c->index->children[i];
			if (digest_equal(&(*ret)->digest, &was->digest))
				return 1;
		}
	}
	if (all_have_platforms(c->index))
		return 0;
	return why ? name_them(c, why) : -EINVAL;
}

static int take_itself(const char *bytes, size_t len, const struct choice *c,
		       struct descriptor *ret)
{
	struct descriptor d = {.mediatype = strdup(MEDIATYPE_OCI_INDEX),
			       .size_bytes = len};

	if (!d.mediatype)
		return -ENOMEM;
	digest_of(c->is_digest ? c->digest.alg : HASH_SHA256, bytes, len,
		  &d.digest);
	*ret = d;
	return 0;
}

static int take(const struct descriptor *d, struct descriptor *ret,
		struct str *why)
{
	if (mediatype_is_document(mediatype_class(d->mediatype)))
		return descriptor_copy(d, ret);
	if (str_addf(why, "index.json points at a %.255s, which is no manifest",
		     d->mediatype) == -ENOMEM)
		return -ENOMEM;
	return -EINVAL;
}

static int parse(const char *bytes, size_t len, struct manifest **ret,
		 struct str *why)
{
	struct json_error err = {""};
	int r;

	r = manifest_parse(bytes, len, MEDIATYPE_OCI_INDEX, HASH_SHA256, ret,
			   &err);
	if (r != -EBADMSG && r != -EFBIG)
		return r;
	r = why ? str_addf(why, "index.json: %s", err.text) : 0;
	return r == -ENOMEM ? r : -EINVAL;
}

int publish_choose(const char *bytes, size_t len, const char *old,
		   size_t old_len, const char *name,
		   struct descriptor *ret_root, bool *ret_itself,
		   struct str *why)
{
	autoptr(manifest) index = NULL;
	autoptr(manifest) before = NULL;
	const struct descriptor *d = NULL;
	struct choice c = {.name = name};
	bool itself;
	int r;

	r = parse(bytes, len, &index, why);
	if (r < 0)
		return r;
	if (index->children_len == 0)
		return -ENODATA;
	/* One that cannot be read tells nothing of what was there. */
	if (old && parse(old, old_len, &before, NULL) == -ENOMEM)
		return -ENOMEM;
	c.index = index;
	c.old = before;
	c.is_digest = digest_parse(name, &c.digest) == 0;
	r = decide(&c, why, &d);
	if (r < 0)
		return r;
	itself = r == 0;
	r = itself ? take_itself(bytes, len, &c, ret_root)
		   : take(d, ret_root, why);
	if (r == 0)
		*ret_itself = itself;
	return r;
}
