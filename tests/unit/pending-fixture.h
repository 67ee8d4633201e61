/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Images that are pending: an outbox with a journal in a temporary directory,
 * a draft with one document in it, and an image whose parts come by and by.
 */
#include "publish-fixture.h"

#include <ftw.h>

#include "push/draft.h"
#include "push/pending_private.h"
#include "store/journal.h"
#include "store/store.h"

static char dir[64];
static struct store *store;
static struct repo *app, *other;
static struct wait w;

/* --- a draft with one document in it --- */

int draft_find(struct outbox *o, struct repo *r, const char *name,
	       struct draft **ret)
{
	if (!world.has_draft)
		return -ENOENT;
	*ret = (struct draft *)&world;
	return 0;
}

void draft_unref(struct draft *d)
{
}

int draft_read(struct draft *d, const char *path, struct feed **ret)
{
	char hex[129], want[200];

	digest_hex(&world.draft_digest, hex);
	snprintf(want, sizeof(want), "blobs/sha256/%s", hex);
	if (!world.draft || strcmp(path, want) != 0)
		return -ENOENT;
	*ret = feed_ref(world.draft);
	return 0;
}

void draft_published(struct outbox *o, struct repo *r, const char *name,
		     const struct digest *root)
{
	pthread_mutex_lock(&world.lock);
	note("DRAFT %s %s", name, text_of(root));
	pthread_mutex_unlock(&world.lock);
}

int content_place(struct content *c, const char *host, char **ret)
{
	(void)c;
	*ret = strdup(host);
	return *ret ? 0 : -ENOMEM;
}

int content_last_error(struct content *c, const char *host,
		       const char *repository, struct str *out)
{
	return world.put_error ? str_add(out, "it said: quota\nand more\n")
			       : -ENOENT;
}

/* --- setting up --- */

static void open_journal(void)
{
	assert_int_equal(journal_open(store, &world.outbox.journal), 0);
	assert_int_equal(journal_check(world.outbox.journal, NULL), 0);
	assert_int_equal(pendings_new(&world.outbox, &world.outbox.pendings),
			 0);
}

static void close_journal(void)
{
	pendings_free(world.outbox.pendings);
	journal_close(world.outbox.journal);
}

static int setup(void **state)
{
	struct store_config cfg = {.size_bytes = 1 << 30, .dir = dir};

	world_start();
	app = repo_make("team/app");
	other = repo_make("team/other");
	snprintf(dir, sizeof(dir), "/tmp/registryfs-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_open(&cfg, &store, NULL), 0);
	open_journal();
	wait_init(&w, 10000, 0);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	close_journal();
	store_close(store);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	world_stop();
	return 0;
}

/* As after a crash: only what is in the journal is left. */
static void restart(void)
{
	close_journal();
	open_journal();
}

/* --- an image of two layers, of which only the documents are at hand --- */

static struct {
	struct part config, layers[2], child, root;
} img;

static void make_image(void)
{
	struct digest d;

	img.config = part_of(CONFIG, "config");
	img.layers[0] = part_of(LAYER, "layer 0");
	img.layers[1] = part_of(LAYER, "layer 1");
	img.child = document(MEDIATYPE_OCI_MANIFEST, &img.config, img.layers, 2,
			     NULL);
	img.root = document(MEDIATYPE_OCI_INDEX, NULL, &img.child, 1, NULL);
	hand_add(img.child.bytes, &d);
	hand_add(img.root.bytes, &d);
}

static void free_image(void)
{
	free(img.child.bytes);
	free(img.root.bytes);
}

static struct publication publication(const char *name)
{
	return (struct publication){.outbox = &world.outbox,
				    .repo = app,
				    .name = name,
				    .root = &img.root.digest,
				    .mediatype = img.root.type,
				    .find = hand_find};
}

/* What closing index.json does. */
static int write_index(const char *name)
{
	const struct publication p = publication(name);
	struct string_list missing = {.v = NULL};
	struct publish_docs docs = {.v = NULL};
	int r;

	r = publish(&p, &w, &missing, &docs);
	if (r == -EAGAIN)
		r = pending_add(&p, &missing, &docs);
	publish_docs_done(&docs);
	string_list_done(&missing);
	return r;
}

static int bring(const struct part *p)
{
	blob_there(app, p->type,
		   p == &img.config	 ? "config"
		   : p == &img.layers[0] ? "layer 0"
					 : "layer 1");
	return pending_poke(&world.outbox, app, &p->digest, NULL, &w);
}

static size_t pending_count(void)
{
	return pendings_count(world.outbox.pendings);
}

UNUSED static bool has_tag(const char *tag)
{
	bool is;

	pthread_mutex_lock(&world.lock);
	is = tag_find(app, tag) != NULL;
	pthread_mutex_unlock(&world.lock);
	return is;
}

/* Waits, not for ever. */
static void wait_count(size_t n)
{
	for (int i = 0; i < 5000 && pending_count() != n; i++)
		usleep(1000);
	if (pending_count() != n)
		fail_msg("%zu pending, not %zu: %s", pending_count(), n,
			 world.log.buf);
}

UNUSED static void wait_noted(const char *start, unsigned n)
{
	for (int i = 0; i < 5000 && noted(start) < n; i++)
		usleep(1000);
	assert_true(noted(start) >= n);
}

static const char *print(const char *entry)
{
	static char text[4096];
	struct str s = {.max = sizeof(text) - 1};

	assert_int_equal(pending_print(&world.outbox, entry, &s), 0);
	memcpy(text, s.buf, s.len + 1);
	str_done(&s);
	return text;
}

static void wait_said(const char *entry, const char *part)
{
	for (int i = 0; i < 5000 && !strstr(print(entry), part); i++)
		usleep(1000);
	if (!strstr(print(entry), part))
		fail_msg("\"%s\" is not said in %s", part, print(entry));
}

#define ENTRY "reg.example.com_team_app_1.5"
#define NTH "reg.example.com_team_app_1_5"
