/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations are one attribute each; what the cache holds is of the chosen
 * platform. */
#include "fs/image_xattr.h"

#include <errno.h>
#include <string.h>

#include "content/blob.h"
#include "fs/node.h"
#include "util/auto.h"

#define ANNOTATION_PREFIX "user.oci.annotation."
#define XATTR_NAME_MAX 255

static int add_annotations(const struct manifest *m, struct str *names)
{
	int r = 0;

	for (size_t k = 0; k < m->annotations_len && r == 0; k++) {
		autofree char *name = str_printf(ANNOTATION_PREFIX "%s",
						 m->annotations[k].key);

		if (!name)
			return -ENOMEM;
		if (strlen(name) <= XATTR_NAME_MAX)
			r = xattr_name(names, name);
	}
	return r;
}

int image_xattr_list(struct image *i, struct wait *w, struct str *names)
{
	static const char *const fixed[] = {
		"user.oci.digest", "user.oci.mediatype",
		"user.registryfs.cached", "user.registryfs.verified"};
	const struct manifest *m;
	int r;

	r = image_root(i, w, &m);
	for (size_t k = 0; k < sizeof(fixed) / sizeof(fixed[0]) && r == 0; k++)
		r = xattr_name(names, fixed[k]);
	return r < 0 ? r : add_annotations(m, names);
}

struct cached {
	double bytes, total;
	bool verified;
};

static int count_cached(struct repo *repo, const struct descriptor *d,
			struct cached *sum)
{
	autoptr(blob) b = NULL;
	int r;

	if (d->size_bytes == DESCRIPTOR_SIZE_UNKNOWN)
		return 0;
	r = blob_open(repo, &d->digest, d->size_bytes, &b);
	if (r < 0)
		return r;
	sum->total += (double)d->size_bytes;
	sum->bytes += (double)d->size_bytes * blob_cached_percent(b) / 100;
	sum->verified = sum->verified && blob_verified(b);
	return 0;
}

/* How much of the chosen platform's configuration and layers is here. */
static int image_cached(struct image *i, struct wait *w, struct cached *ret)
{
	const struct manifest *m;
	int r;

	*ret = (struct cached){.verified = true};
	r = image_platform(i, w, &m);
	if (r == 0 && m->class == MEDIATYPE_MANIFEST)
		r = count_cached(image_repo(i), &m->config, ret);
	for (size_t k = 0; r == 0 && k < m->children_len; k++)
		r = count_cached(image_repo(i), &m->children[k], ret);
	return r == -ENOENT ? -ENODATA : r;
}

static int image_cache_xattr(struct image *i, struct wait *w, const char *name,
			     struct str *value)
{
	struct cached sum;
	int r;

	if (strcmp(name, "user.registryfs.error") == 0)
		return content_last_error(repo_content(image_repo(i)),
					  repo_host(image_repo(i)),
					  repo_name(image_repo(i)), value) < 0
			       ? -ENODATA
			       : 0;
	r = image_cached(i, w, &sum);
	if (r < 0)
		return r;
	if (strcmp(name, "user.registryfs.cached") == 0)
		return str_addf(
			value, "%u",
			sum.total > 0 ? (unsigned)(100 * sum.bytes / sum.total)
				      : 100);
	if (strcmp(name, "user.registryfs.verified") == 0)
		return str_add(value, sum.verified ? "yes" : "no");
	return -ENODATA;
}

int image_xattr_get(struct image *i, struct wait *w, const char *name,
		    struct str *value)
{
	const size_t prefix = strlen(ANNOTATION_PREFIX);
	char digest[DIGEST_TEXT_MAX];
	const struct manifest *m;
	const char *annotation;
	int r;

	if (strcmp(name, "user.oci.digest") == 0) {
		digest_format(image_digest(i), digest);
		return str_add(value, digest);
	}
	if (strncmp(name, "user.registryfs.", 16) == 0)
		return image_cache_xattr(i, w, name, value);
	r = image_root(i, w, &m);
	if (r < 0)
		return r;
	if (strcmp(name, "user.oci.mediatype") == 0)
		return str_add(value, m->mediatype);
	if (strncmp(name, ANNOTATION_PREFIX, prefix) != 0)
		return -ENODATA;
	annotation = manifest_annotation(m, name + prefix);
	return annotation ? str_add(value, annotation) : -ENODATA;
}
