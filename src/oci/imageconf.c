/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read here is shown to people or used to check a layer once more, so
 * nothing but "this is no JSON object" is an error: artifacts put anything
 * into their config, and a member of the wrong type is as good as absent.
 */
#include "oci/imageconf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "oci/malformed.h"
#include "oci/manifest.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"

/* Empty steps come on top of the layers; twice the number is generous. */
#define STEPS_MAX ((size_t)2 * MANIFEST_LAYERS_MAX)

AUTOPTR_DEFINE(json, json_free)
AUTOPTR_DEFINE(imageconf, imageconf_free)

static void free_steps(struct imageconf_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(steps[i].created_by);
		free(steps[i].comment);
	}
	free(steps);
}

void imageconf_free(struct imageconf *c)
{
	if (!c)
		return;
	free(c->diff_ids);
	free_steps(c->steps, c->steps_len);
	free(c);
}

static const char *find_string(const struct json *o, const char *key)
{
	const struct json *j = json_find(o, key);

	return j ? json_string(j) : NULL;
}

static const struct json *find_array(const struct json *o, const char *key)
{
	const struct json *j = json_find(o, key);

	return j && json_is_array(j) ? j : NULL;
}

static bool read_time(const struct json *o, struct timespec *ret)
{
	const char *s = find_string(o, "created");

	return s && clock_parse_rfc3339(s, ret) == 0;
}

/* All of them or none: a gap would shift what belongs to which layer. */
static int read_diff_ids(const struct json *rootfs, struct imageconf *c)
{
	const struct json *a = find_array(rootfs, "diff_ids");
	size_t n = a ? json_len(a) : 0;
	struct digest *d;

	if (n == 0 || n > MANIFEST_LAYERS_MAX)
		return 0;
	d = calloc(n, sizeof(*d));
	if (!d)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string(json_at(a, i));

		if (s && digest_parse(s, &d[i]) == 0)
			continue;
		free(d);
		return 0;
	}
	c->diff_ids = d;
	c->diff_ids_len = n;
	return 0;
}

static int copy_string(const char *s, char **ret)
{
	if (!s)
		return 0;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int read_step(const struct json *o, struct imageconf_step *step)
{
	int r;

	step->layer = -1;
	step->has_created = read_time(o, &step->created);
	r = json_opt_bool(o, "empty_layer", &step->empty_layer, NULL);
	if (r < 0)
		return r;
	r = copy_string(find_string(o, "created_by"), &step->created_by);
	if (r < 0)
		return r;
	return copy_string(find_string(o, "comment"), &step->comment);
}

/* Each step that is not empty made the next layer (image-spec config.md). */
static int read_steps(const struct json *a, struct imageconf_step *steps,
		      size_t n, size_t layers)
{
	size_t layer = 0;

	for (size_t i = 0; i < n; i++) {
		const struct json *o = json_at(a, i);
		int r;

		if (!json_is_object(o))
			return -EBADMSG;
		r = read_step(o, &steps[i]);
		if (r < 0)
			return r;
		if (!steps[i].empty_layer)
			steps[i].layer = (int)layer++;
	}
	return layer == layers ? 0 : -EBADMSG;
}

static int read_history(const struct json *doc, size_t layers,
			struct imageconf *c)
{
	const struct json *a = find_array(doc, "history");
	size_t n = a ? json_len(a) : 0;
	struct imageconf_step *steps;
	int r;

	if (n == 0 || n > STEPS_MAX)
		return 0;
	steps = calloc(n, sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	r = read_steps(a, steps, n, layers);
	if (r < 0) {
		free_steps(steps, n);
		return r == -EBADMSG ? 0 : r;
	}
	c->steps = steps;
	c->steps_len = n;
	return 0;
}

int imageconf_parse(const char *bytes, size_t len, size_t layers,
		    struct imageconf **ret, struct json_error *err)
{
	autoptr(imageconf) c = NULL;
	autoptr(json) doc = NULL;
	const struct json *rootfs;
	int r;

	r = json_parse(bytes, len, IMAGECONF_BYTES_MAX, &doc, err);
	if (r < 0)
		return r;
	if (!json_is_object(doc))
		return malformed(err, "not an object");
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->has_created = read_time(doc, &c->created);
	/* Untouched, that is empty, if a part is no string or too long. */
	(void)platform_from_json(doc, &c->platform, NULL);
	rootfs = json_find(doc, "rootfs");
	if (rootfs && json_is_object(rootfs)) {
		r = read_diff_ids(rootfs, c);
		if (r < 0)
			return r;
	}
	r = read_history(doc, layers, c);
	if (r < 0)
		return r;
	*ret = steal(&c);
	return 0;
}
