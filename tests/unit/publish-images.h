/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Images made in a moment and published from hand, and what came of it: for
 * tests of what publishing does, without a journal behind it.
 */
#include "publish-fixture.h"

#include "push/pending_private.h"

static struct repo *app, *other;
static struct wait w;

static int setup(void **state)
{
	world_start();
	app = repo_make("team/app");
	other = repo_make("team/other");
	wait_init(&w, 20000, 0);
	return 0;
}

static int teardown(void **state)
{
	world_stop();
	return 0;
}

/* pending.c is another test's. */
void pending_superseded(struct outbox *o, struct repo *r, const char *name)
{
	pthread_mutex_lock(&world.lock);
	note("SUPERSEDED %s", name);
	pthread_mutex_unlock(&world.lock);
}

/* --- images --- */

struct image_made {
	struct part config, layers[2], root;
};

/* Its blobs are there, its manifest is at hand. */
static struct image_made make_image(const char *seed, const char *more)
{
	struct image_made i;
	char text[64];
	struct digest d;

	snprintf(text, sizeof(text), "config %s", seed);
	i.config = blob_there(app, CONFIG, text);
	for (int k = 0; k < 2; k++) {
		snprintf(text, sizeof(text), "layer %s %d", seed, k);
		i.layers[k] = blob_there(app, LAYER, text);
	}
	i.root = document(MEDIATYPE_OCI_MANIFEST, &i.config, i.layers, 2, more);
	hand_add(i.root.bytes, &d);
	assert_true(digest_equal(&d, &i.root.digest));
	return i;
}

static int publish_as(const char *name, const struct part *root,
		      struct string_list *missing, struct publish_docs *docs)
{
	const struct publication p = {.outbox = &world.outbox,
				      .repo = app,
				      .name = name,
				      .root = &root->digest,
				      .mediatype = root->type,
				      .find = hand_find};

	return publish(&p, &w, missing, docs);
}

static void assert_tag(const char *tag, const struct digest *want)
{
	const struct thing *t;

	pthread_mutex_lock(&world.lock);
	t = tag_find(app, tag);
	assert_int_equal(t != NULL, want != NULL);
	if (want)
		assert_true(digest_equal(&t->digest, want));
	pthread_mutex_unlock(&world.lock);
}

static void assert_noted(unsigned n, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void assert_noted(unsigned n, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (noted(line) != n)
		fail_msg("%u times, not %u: %s in\n%s", noted(line), n, line,
			 world.log.buf ? world.log.buf : "");
}
