/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree is kept by the manifest's digest, which binds all that it is made
 * of.  Whoever is served one that another repository had made must be granted
 * every layer: a manifest can name what its reader may not have.
 */
#include "content/rootfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/context.h"
#include "content/merge.h"
#include "oci/imageconf.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"

#define MERGE_BUDGET_MS ((uint64_t)3600 * 1000)

char *rootfs_key(const struct digest *manifest)
{
	char hex[129];

	digest_hex(manifest, hex);
	return str_printf("rootfs-%s-%s", digest_alg_name(manifest), hex);
}

static void rootfs_fault(const struct rootfs *f, int error, const char *text)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *object = NULL;

	digest_format(&f->digest, digest);
	object = str_printf("%s/_rootfs/%s", f->repo->name, digest);
	content_fault(f->repo->content, f->repo->host, object ? object : digest,
		      error, text);
}

static void rootfs_layer_fault(const struct rootfs *f, size_t i, int error,
			       const char *what)
{
	char digest[DIGEST_TEXT_MAX];
	autofree char *text = NULL;

	digest_format(&f->layers[i].digest, digest);
	text = str_printf("layer %02zu, %s: %s", i, digest, what);
	rootfs_fault(f, error, text ? text : what);
}

/* --- layers --- */

/* The registry must have shown that the repository holds it. */
static int rootfs_prove(struct rootfs *f, size_t i, struct wait *w)
{
	uint64_t size;
	int r;

	w->deadline_ms = clock_ms() + f->repo->content->times.read_budget;
	r = blob_find(f->repo, &f->layers[i].digest, w, &size);
	if (r == -ENOENT) {
		rootfs_layer_fault(f, i, EIO, "the registry does not have it");
		return -EIO;
	}
	if (r < 0)
		return r;
	autolock(&f->lock);
	if (f->layers[i].size_bytes == DESCRIPTOR_SIZE_UNKNOWN)
		f->layers[i].size_bytes = size;
	if (f->layers[i].size_bytes == size)
		return 0;
	rootfs_layer_fault(f, i, EBADMSG, "its size is not the manifest's");
	return -EBADMSG;
}

int rootfs_layer_open(struct rootfs *f, size_t i, struct layerindex **ret)
{
	struct rootfs_layer *l = &f->layers[i];
	struct layerindex *x = NULL;
	int r;

	autolock(&f->lock);
	if (l->index && build_state(&l->index->build) == BUILD_FAILED) {
		layerindex_unref(l->index);
		l->index = NULL;
	}
	if (!l->index) {
		r = layerindex_open(f->repo, &l->digest, l->size_bytes,
				    &l->note, &x);
		if (r < 0)
			return r;
		l->index = x;
	}
	*ret = layerindex_ref(l->index);
	return 0;
}

void rootfs_layer_renew(struct rootfs *f, size_t i, struct layerindex *x)
{
	autofree char *key = rootfs_key(&f->digest);
	struct store *s = f->repo->content->store;

	rootfs_layer_fault(f, i, EIO,
			   "its index is not what was merged: made anew");
	tree_forget(s, x->key);
	build_renew(&x->build);
	if (key)
		tree_forget(s, key);
	build_renew(&f->build);
}

/* Waits for one layer; its progress is ours. */
static int rootfs_wait_layer(struct rootfs *f, struct layerindex *x,
			     struct wait *w)
{
	uint64_t seen = 0;
	int r;

	do {
		r = build_wait_progress(&x->build, &seen, w);
		build_progress(&f->build, 1);
	} while (r == 0 && build_state(&x->build) == BUILD_RUNNING);
	return r;
}

static int check_layer(struct rootfs *f, size_t i, const struct layerindex *x,
		       const struct imageconf *conf)
{
	const struct digest *want = conf ? &conf->diff_ids[i] : NULL;

	if (x->damaged) {
		rootfs_layer_fault(f, i, EBADMSG, x->reason);
		return -EBADMSG;
	}
	if (x->form == LAYER_RAW && f->layers[i].is_archive && conf) {
		rootfs_layer_fault(f, i, EBADMSG, "is no archive");
		return -EBADMSG;
	}
	/* A table of contents is bound to the manifest by a digest of its own;
	 * of the archive only SHA-256 is taken, as everybody writes. */
	if (want && x->form == LAYER_ARCHIVE && want->alg == x->diff_id.alg &&
	    !digest_equal(want, &x->diff_id)) {
		rootfs_layer_fault(f, i, EBADMSG,
				   "decoded, it does not match its diff_id in "
				   "the image's configuration");
		return -EBADMSG;
	}
	return 0;
}

/* --- the build --- */

static int rootfs_config(struct rootfs *f, struct wait *w,
			 struct imageconf **ret)
{
	autofree char *bytes = NULL;
	struct json_error err = {{0}};
	struct imageconf *conf;
	int r;

	if (!f->has_config)
		return 0;
	r = blob_read_whole(f->repo, &f->config, f->config_bytes,
			    IMAGECONF_BYTES_MAX, w, &bytes);
	if (r < 0)
		return r;
	r = imageconf_parse(bytes, (size_t)f->config_bytes, f->layers_len,
			    &conf, &err);
	if (r < 0) {
		rootfs_fault(f, -r, err.text);
		return r;
	}
	if (conf->diff_ids_len != f->layers_len) {
		imageconf_free(conf);
		rootfs_fault(f, EBADMSG,
			     "the configuration names another number of "
			     "layers than the manifest");
		return -EBADMSG;
	}
	*ret = conf;
	return 0;
}

static int rootfs_begin_layer(struct rootfs *f, size_t i,
			      struct layerindex **ret)
{
	int r;

	r = rootfs_layer_open(f, i, ret);
	return r < 0 ? r : layerindex_start(*ret, f->repo);
}

/* Somebody else's attempt may have failed for reasons of his own. */
static int rootfs_finish_layer(struct rootfs *f, size_t i,
			       struct layerindex **x, struct wait *w)
{
	int r;

	w->deadline_ms = clock_ms() + f->repo->content->times.read_budget;
	r = rootfs_wait_layer(f, *x, w);
	if (r < 0 && (*x)->repo != f->repo && wait_check(w) == 0) {
		layerindex_unref(steal(x));
		r = rootfs_begin_layer(f, i, x);
		if (r == 0)
			r = rootfs_wait_layer(f, *x, w);
	}
	/* Another repository may have had it indexed. */
	if (r == 0)
		r = rootfs_prove(f, i, w);
	if (r != -ENOENT)
		return r;
	rootfs_layer_fault(f, i, EIO, "the registry does not have it");
	return -EIO;
}

static int rootfs_index_layers(struct rootfs *f, struct layerindex **indexes,
			       struct wait *w)
{
	int r = 0;

	for (size_t i = 0; i < f->layers_len && r == 0; i++) {
		if (f->layers[i].size_bytes == DESCRIPTOR_SIZE_UNKNOWN)
			r = rootfs_prove(f, i, w);
		if (r == 0)
			r = rootfs_begin_layer(f, i, &indexes[i]);
	}
	for (size_t i = 0; i < f->layers_len && r == 0; i++)
		r = rootfs_finish_layer(f, i, &indexes[i], w);
	return r;
}

static char *form_key(size_t i)
{
	return str_printf("form %zu", i);
}

static int save_forms(struct rootfs *f, struct tree *out)
{
	int r = 0;

	for (size_t i = 0; i < f->layers_len && r == 0; i++) {
		autofree char *key = form_key(i);

		r = key ? tree_set_int(out, key, f->layers[i].form) : -ENOMEM;
	}
	return r;
}

static int load_forms(struct rootfs *f)
{
	int64_t form = 0;
	int r = 0;

	for (size_t i = 0; i < f->layers_len && r == 0; i++) {
		autofree char *key = form_key(i);

		r = key ? tree_get_int(f->tree, key, &form) : -ENOMEM;
		if (r == 0 && (form < LAYER_ARCHIVE || form > LAYER_RAW))
			r = -EBADMSG;
		if (r == 0)
			f->layers[i].form = (enum layer_form)form;
	}
	return r;
}

static int rootfs_merge(struct rootfs *f, struct layerindex *const *indexes,
			bool in_memory, struct wait *w)
{
	const struct content *c = f->repo->content;
	autofree char *key = rootfs_key(&f->digest);
	autofree struct tree **trees = calloc(f->layers_len, sizeof(*trees));
	struct tree *out;
	int r;

	if (!key || !trees)
		return -ENOMEM;
	for (size_t i = 0; i < f->layers_len; i++) {
		trees[i] = indexes[i]->tree;
		f->layers[i].form = indexes[i]->form;
	}
	r = tree_create(c->store, key, in_memory, &out);
	if (r < 0)
		return r;
	w->deadline_ms = clock_ms() + MERGE_BUDGET_MS;
	r = merge_trees(trees, f->layers_len, c->options->layer_entries, w,
			out);
	if (r == -EBADMSG) {
		/* A kept one is damaged, or was removed meanwhile. */
		for (size_t i = 0; i < f->layers_len; i++)
			if (tree_lost(indexes[i]->tree))
				build_renew(&indexes[i]->build);
		r = -EAGAIN;
	}
	if (r == -EFBIG)
		rootfs_fault(f, EFBIG,
			     "the image has more entries than layer_entries "
			     "allows");
	if (r == 0)
		r = save_forms(f, out);
	if (r == 0)
		r = tree_seal(out);
	/* What cannot be kept can still be read. */
	if (r < 0 && !tree_sealed(out)) {
		tree_close(out);
		return r;
	}
	f->tree = out;
	return 0;
}

static int rootfs_make(struct rootfs *f, struct layerindex **indexes,
		       struct wait *w)
{
	struct imageconf *conf = NULL;
	int r;

	r = rootfs_config(f, w, &conf);
	if (r == 0)
		r = rootfs_index_layers(f, indexes, w);
	for (size_t i = 0; i < f->layers_len && r == 0; i++)
		r = check_layer(f, i, indexes[i], conf);
	build_local(&f->build, true);
	if (r == 0)
		r = rootfs_merge(f, indexes, false, w);
	if (r == -ENOSPC || r == -EROFS)
		r = rootfs_merge(f, indexes, true, w);
	build_local(&f->build, false);
	if (conf)
		imageconf_free(conf);
	return r;
}

/* One that is kept: all of its layers must be ours to see.  What cannot be
 * loaded is made. */
static int rootfs_load(struct rootfs *f, struct wait *w)
{
	autofree char *key = rootfs_key(&f->digest);
	struct store *s = f->repo->content->store;
	int r;

	if (!key)
		return -ENOMEM;
	r = tree_open(s, key, &f->tree);
	if (r < 0)
		return r == -ENOMEM || r == -ENFILE ? r : -ENOENT;
	r = load_forms(f);
	if (r < 0 && r != -ENOMEM && r != -ENFILE) {
		tree_close(steal(&f->tree));
		tree_forget(s, key);
		return -ENOENT;
	}
	for (size_t i = 0; i < f->layers_len && r == 0; i++) {
		r = rootfs_prove(f, i, w);
		build_progress(&f->build, 1);
	}
	return r;
}

static struct rootfs *of_build(struct build *b)
{
	return container_of(b, struct rootfs, build);
}

static int rootfs_run(struct build *b, struct wait *w)
{
	struct rootfs *f = of_build(b);
	autofree struct layerindex **indexes =
		calloc(f->layers_len, sizeof(struct layerindex *));
	int r;

	if (!indexes)
		return -ENOMEM;
	r = rootfs_load(f, w);
	if (r != -ENOENT || f->tree)
		return r;
	/* Each of the layers' trees may be lost once. */
	for (size_t n = 0; n <= f->layers_len; n++) {
		r = rootfs_make(f, indexes, w);
		for (size_t i = 0; i < f->layers_len; i++)
			layerindex_unref(steal(&indexes[i]));
		if (r != -EAGAIN)
			return r;
	}
	return -EIO;
}

static void rootfs_build_ref(struct build *b)
{
	rootfs_ref(of_build(b));
}

static void rootfs_build_unref(struct build *b)
{
	rootfs_unref(of_build(b));
}

int rootfs_start(struct rootfs *f)
{
	return build_start(f->repo->content->builds, &f->build, BUILD_LIGHT);
}

/* --- life --- */

static void rootfs_free(struct rootfs *f)
{
	for (size_t i = 0; i < f->layers_len; i++) {
		layerindex_unref(f->layers[i].index);
		layernote_done(&f->layers[i].note);
	}
	tree_close(f->tree);
	repo_unref(f->repo);
	pthread_mutex_destroy(&f->lock);
	build_done(&f->build);
	free(f->layers);
	free(f);
}

static int rootfs_fill(struct rootfs *f, const struct manifest *m)
{
	enum mediatype class;
	int r = 0;

	f->layers = calloc(m->children_len, sizeof(*f->layers));
	if (!f->layers)
		return -ENOMEM;
	for (size_t i = 0; i < m->children_len && r == 0; i++) {
		const struct descriptor *d = &m->children[i];
		struct rootfs_layer *l = &f->layers[f->layers_len++];

		class = d->mediatype ? mediatype_class(d->mediatype)
				     : MEDIATYPE_LAYER;
		l->digest = d->digest;
		l->size_bytes = d->size_bytes;
		l->is_archive =
			class == MEDIATYPE_LAYER || class == MEDIATYPE_FOREIGN;
		r = layernote_read(d, &l->note);
	}
	if (m->class != MEDIATYPE_MANIFEST ||
	    mediatype_class(m->config.mediatype) != MEDIATYPE_CONFIG)
		return r;
	f->has_config = true;
	f->config = m->config.digest;
	f->config_bytes = m->config.size_bytes;
	return r;
}

int rootfs_new(struct repo *r, const struct manifest *m, struct rootfs **ret)
{
	struct rootfs *f;
	int e;

	if (m->class == MEDIATYPE_INDEX || m->children_len == 0)
		return -ENOENT;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	build_init(&f->build);
	f->build.run = rootfs_run;
	f->build.ref = rootfs_build_ref;
	f->build.unref = rootfs_build_unref;
	pthread_mutex_init(&f->lock, NULL);
	f->refs = 1;
	f->repo = repo_ref(r);
	f->digest = m->digest;
	e = rootfs_fill(f, m);
	if (e < 0) {
		rootfs_free(f);
		return e;
	}
	*ret = f;
	return 0;
}

struct rootfs *rootfs_ref(struct rootfs *f)
{
	autolock(&f->repo->content->layers_lock);
	f->refs++;
	return f;
}

void rootfs_unref(struct rootfs *f)
{
	if (!f)
		return;
	{
		autolock(&f->repo->content->layers_lock);
		if (--f->refs > 0)
			return;
	}
	rootfs_free(f);
}
