/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors decide what is fetched and how large files look, so size, digest
 * and media type are checked here, once.  `data` is ignored: the blob itself
 * is always to be had, and one source of bytes is enough to verify.
 */
#include "oci/descriptor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "oci/malformed.h"
#include "oci/mediatype.h"
#include "util/json.h"
#include "util/str.h"

/* NULL stays NULL. */
static int copy_string(const char *s, char **ret)
{
	char *copy = NULL;

	if (s) {
		copy = strdup(s);
		if (!copy)
			return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

void annotations_free(struct annotation *a, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(a[i].key);
		free(a[i].value);
	}
	free(a);
}

const char *annotations_find(const struct annotation *a, size_t n,
			     const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(a[i].key, key) == 0)
			return a[i].value;
	return NULL;
}

static int copy_annotation(const char *key, const char *value,
			   struct annotation *ret)
{
	struct annotation a = {.key = strdup(key), .value = strdup(value)};

	if (!a.key || !a.value) {
		free(a.key);
		free(a.value);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

/* Checks them all; null values are left out. */
static int count_annotations(const struct json *o, size_t *ret,
			     struct json_error *err)
{
	const struct json *value;
	const char *key;
	void *iter = NULL;
	size_t n = 0;

	while (json_each(o, &iter, &key, &value)) {
		if (!json_find(o, key))
			continue;
		if (!json_string(value))
			return malformed(err,
					 "annotations: \"%.60s\": "
					 "not a string",
					 key);
		if (++n > ANNOTATIONS_MAX)
			return malformed(err, "annotations: more than %d",
					 ANNOTATIONS_MAX);
	}
	*ret = n;
	return 0;
}

int annotations_from_json(const struct json *o, struct annotation **ret,
			  size_t *ret_len, struct json_error *err)
{
	const struct json *map = NULL, *value;
	struct annotation *a = NULL;
	const char *key;
	void *iter = NULL;
	size_t n = 0, max = 0;
	int r;

	r = json_opt_object(o, "annotations", &map, err);
	if (r < 0)
		return r;
	if (map) {
		r = count_annotations(map, &max, err);
		if (r < 0)
			return r;
	}
	if (max > 0) {
		a = calloc(max, sizeof(*a));
		if (!a)
			return -ENOMEM;
	}
	while (n < max && json_each(map, &iter, &key, &value)) {
		if (!json_string(value))
			continue;
		r = copy_annotation(key, json_string(value), &a[n]);
		if (r < 0) {
			annotations_free(a, n);
			return r;
		}
		n++;
	}
	*ret = a;
	*ret_len = n;
	return 0;
}

static int read_type(const struct json *o, const char *key, bool need,
		     char **ret, struct json_error *err)
{
	const char *s = NULL;
	int r;

	r = need ? json_need_string(o, key, &s, err)
		 : json_opt_string(o, key, &s, err);
	if (r < 0)
		return r;
	/* Go writes absent strings as "". */
	if (!need && (!s || !s[0]))
		return 0;
	if (!mediatype_is_valid(s))
		return malformed(err, "%s: not a media type", key);
	return copy_string(s, ret);
}

static int read_digest(const struct json *o, struct digest *ret,
		       struct json_error *err)
{
	const char *s;
	int r;

	r = json_need_string(o, "digest", &s, err);
	if (r < 0)
		return r;
	if (digest_parse(s, ret) < 0)
		return malformed(err, "digest: not a sha256 or sha512 digest");
	return 0;
}

static int read_platform(const struct json *o, struct descriptor *d,
			 struct json_error *err)
{
	const struct json *p = NULL;
	int r;

	r = json_opt_object(o, "platform", &p, err);
	if (r < 0 || !p)
		return r;
	r = platform_from_json(p, &d->platform, err);
	if (r == -EBADMSG)
		json_error_prefix(err, "platform.");
	if (r < 0)
		return r;
	d->has_platform = true;
	return 0;
}

static int read_urls(const struct json *o, struct descriptor *d,
		     struct json_error *err)
{
	const struct json *a = NULL;
	size_t n;
	int r;

	r = json_opt_array(o, "urls", &a, err);
	if (r < 0)
		return r;
	n = a ? json_len(a) : 0;
	if (n > DESCRIPTOR_URLS_MAX)
		return malformed(err, "urls: more than %d",
				 DESCRIPTOR_URLS_MAX);
	if (n == 0)
		return 0;
	d->urls = calloc(n, sizeof(*d->urls));
	if (!d->urls)
		return -ENOMEM;
	for (; d->urls_len < n; d->urls_len++) {
		const char *s = json_string(json_at(a, d->urls_len));

		if (!s)
			return malformed(err, "urls[%zu]: not a string",
					 d->urls_len);
		r = copy_string(s, &d->urls[d->urls_len]);
		if (r < 0)
			return r;
	}
	return 0;
}

int descriptor_from_json(const struct json *o, struct descriptor *ret,
			 struct json_error *err)
{
	struct descriptor d = {.mediatype = NULL};
	int r;

	if (!json_is_object(o))
		return malformed(err, "not an object");
	r = read_type(o, "mediaType", true, &d.mediatype, err);
	if (r == 0)
		r = read_type(o, "artifactType", false, &d.artifact_type, err);
	if (r == 0)
		r = read_digest(o, &d.digest, err);
	if (r == 0)
		r = json_need_u64(o, "size", DESCRIPTOR_SIZE_MAX, &d.size_bytes,
				  err);
	if (r == 0)
		r = read_platform(o, &d, err);
	if (r == 0)
		r = read_urls(o, &d, err);
	if (r == 0)
		r = annotations_from_json(o, &d.annotations, &d.annotations_len,
					  err);
	if (r < 0) {
		descriptor_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void descriptor_done(struct descriptor *d)
{
	free(d->mediatype);
	free(d->artifact_type);
	annotations_free(d->annotations, d->annotations_len);
	for (size_t i = 0; i < d->urls_len; i++)
		free(d->urls[i]);
	free(d->urls);
	memset(d, 0, sizeof(*d));
}

/* Fills what `c`, which starts without any, owns; on failure a part of it. */
static int copy_owned(const struct descriptor *d, struct descriptor *c)
{
	int r;

	c->annotations =
		calloc(d->annotations_len + 1, sizeof(*c->annotations));
	c->urls = calloc(d->urls_len + 1, sizeof(*c->urls));
	if (!c->annotations || !c->urls)
		return -ENOMEM;
	r = copy_string(d->mediatype, &c->mediatype);
	if (r < 0)
		return r;
	r = copy_string(d->artifact_type, &c->artifact_type);
	if (r < 0)
		return r;
	for (; c->annotations_len < d->annotations_len; c->annotations_len++) {
		size_t i = c->annotations_len;

		r = copy_annotation(d->annotations[i].key,
				    d->annotations[i].value,
				    &c->annotations[i]);
		if (r < 0)
			return r;
	}
	for (; c->urls_len < d->urls_len; c->urls_len++) {
		r = copy_string(d->urls[c->urls_len], &c->urls[c->urls_len]);
		if (r < 0)
			return r;
	}
	return 0;
}

int descriptor_copy(const struct descriptor *d, struct descriptor *ret)
{
	struct descriptor c = {
		.digest = d->digest,
		.size_bytes = d->size_bytes,
		.has_platform = d->has_platform,
		.platform = d->platform,
	};
	int r;

	r = copy_owned(d, &c);
	if (r < 0) {
		descriptor_done(&c);
		return r;
	}
	*ret = c;
	return 0;
}

const char *descriptor_annotation(const struct descriptor *d, const char *key)
{
	return annotations_find(d->annotations, d->annotations_len, key);
}

static int add_member(struct str *out, const char *name, const char *value)
{
	int r = str_addf(out, ",\"%s\":", name);

	return r < 0 ? r : json_add_string(out, value);
}

static int add_annotations(struct str *out, const struct descriptor *d)
{
	int r = str_add(out, ",\"annotations\":{");

	for (size_t i = 0; r == 0 && i < d->annotations_len; i++) {
		r = i ? str_addc(out, ',') : 0;
		if (r == 0)
			r = json_add_string(out, d->annotations[i].key);
		if (r == 0)
			r = str_addc(out, ':');
		if (r == 0)
			r = json_add_string(out, d->annotations[i].value);
	}
	return r < 0 ? r : str_addc(out, '}');
}

int descriptor_print(const struct descriptor *d, struct str *out)
{
	char digest[DIGEST_TEXT_MAX];
	int r = str_add(out, "{\"mediaType\":");

	digest_format(&d->digest, digest);
	if (r == 0)
		r = json_add_string(out, d->mediatype);
	if (r == 0)
		r = add_member(out, "digest", digest);
	if (r == 0)
		r = str_addf(out, ",\"size\":%" PRIu64, d->size_bytes);
	if (r == 0 && d->artifact_type)
		r = add_member(out, "artifactType", d->artifact_type);
	if (r == 0 && d->annotations_len)
		r = add_annotations(out, d);
	return r < 0 ? r : str_addc(out, '}');
}
