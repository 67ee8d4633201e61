/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that a writer did not write: a blob of a registry that is being copied
 * within the mount (only recorded: the kernel holds the file's lock meanwhile),
 * and what was committed before and is about to be changed.  As soon as
 * somebody changes or reads such bytes they are fetched into a feed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "oci/manifest.h"
#include "push/outbox_private.h"
#include "push/writer_private.h"
#include "util/clock.h"
#include "util/process.h"

#define PIECE ((size_t)1 << 20)

void writer_forget_extent(struct writer *w)
{
	repo_unref(w->extent.repo);
	memset(&w->extent, 0, sizeof(w->extent));
}

/* --- bytes of one's own --- */

static int new_feed(struct writer *w, struct feed **ret)
{
	struct digest digest = {.alg = HASH_SHA256};
	int r;

	r = feed_new(w->o->store, ret);
	if (r < 0)
		return r;
	if (writer_name(w, &digest) != DRAFT_NAME_BLOB)
		digest.alg = HASH_SHA256;
	feed_hash_by(*ret, digest.alg);
	return 0;
}

/* Something went well: the patience begins anew. */
static void be_patient(const struct writer *w, struct wait *wait)
{
	uint64_t deadline = clock_ms() + w->o->times.read_budget;

	if (wait->deadline_ms < deadline)
		wait->deadline_ms = deadline;
}

/* Up to size_bytes of it, from the registry. */
static int fetch(struct writer *w, struct feed *to, struct wait *wait)
{
	autoptr(blob) b = NULL;
	autofree char *buf = malloc(PIECE);
	uint64_t off = 0;
	int r;

	if (!buf)
		return -ENOMEM;
	r = blob_open(w->extent.repo, &w->extent.digest, w->extent.size_bytes,
		      &b);
	while (r == 0 && off < w->extent.got) {
		size_t len = w->extent.got - off < PIECE
				     ? (size_t)(w->extent.got - off)
				     : PIECE;
		ssize_t n;

		be_patient(w, wait);
		n = blob_read(b, NULL, buf, len, off, wait);
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		r = feed_write(to, buf, (size_t)n, off);
		off += (uint64_t)n;
	}
	return r;
}

static int copy(struct feed *from, struct feed *to)
{
	autofree char *buf = malloc(PIECE);
	uint64_t off = 0;
	ssize_t n;
	int r = 0;

	if (!buf)
		return -ENOMEM;
	while (r == 0 && (n = feed_read(from, buf, PIECE, off)) != 0) {
		if (n < 0)
			return (int)n;
		r = feed_write(to, buf, (size_t)n, off);
		off += (uint64_t)n;
	}
	return r;
}

/* A file of the writer's own is changed where it is, as any file. */
static bool is_shared(struct writer *w)
{
	struct digest ignored;

	return w->given && writer_name(w, &ignored) != DRAFT_NAME_OWN;
}

int writer_own_feed(struct writer *w, struct wait *wait)
{
	autoptr(feed) f = NULL;
	int r;

	if (w->feed && !is_shared(w))
		return 0;
	r = new_feed(w, &f);
	if (r == 0 && w->extent.repo)
		r = fetch(w, f, wait);
	else if (r == 0 && w->feed)
		r = copy(w->feed, f);
	if (r < 0)
		return r;
	if (w->extent.repo) {
		writer_stop_upload(w);
		writer_forget_extent(w);
	}
	feed_unref(w->feed);
	w->feed = steal(&f);
	w->given = false;
	return 0;
}

/* --- copy_file_range --- */

/* A document has to be here, to be put with its image.  Small blobs are looked
 * up: the listing that the copy went by has usually told. */
static bool is_document(struct writer *w, const struct writer_copy *c)
{
	struct image_entry entry;
	struct wait wait;

	if (!w->draft || c->size_bytes > MANIFEST_BYTES_MAX)
		return false;
	if (!c->image)
		return true;
	wait_init(&wait, w->o->times.meta_budget, c->tid);
	if (image_find(c->image, c->digest, &wait, &entry) < 0)
		return true;
	return entry.part != PART_LAYER && entry.part != PART_CONFIG;
}

static bool continues(struct writer *w, const struct writer_copy *c)
{
	struct digest name;

	if (c->off != c->src_off || c->off > c->size_bytes)
		return false;
	if (writer_name(w, &name) != DRAFT_NAME_BLOB ||
	    !digest_equal(&name, c->digest))
		return false;
	if (w->extent.repo)
		return digest_equal(&w->extent.digest, c->digest) &&
		       w->extent.size_bytes == c->size_bytes &&
		       c->off == w->extent.got;
	return !w->feed && w->size == 0 && c->off == 0 && !is_document(w, c);
}

/* Is it a copy of the whole image?  Then the other blobs come next. */
static bool copies_image(struct draft *d, const struct writer_copy *c)
{
	pid_t pid = 0;

	(void)process_look(c->tid, &pid);
	autolock(&d->lock);
	if (!d->from)
		d->from = repo_ref(c->from);
	if (!c->image || d->siblings || pid == 0)
		return false;
	if (d->copier != pid)
		d->copies = 0;
	d->copier = pid;
	d->copies++;
	d->siblings = d->maker == pid || d->copies > 1;
	return d->siblings;
}

static int begin_copy(struct writer *w, const struct writer_copy *c)
{
	struct upload_spec spec = {.repo = w->repo,
				   .digest = c->digest,
				   .from = c->from,
				   .size_bytes = c->size_bytes};
	int r;

	writer_stop_upload(w);
	if (w->draft && copies_image(w->draft, c))
		upload_siblings(w->o, w->repo, c->image);
	r = upload_begin(w->o, &spec, &w->upload);
	if (r < 0)
		return r;
	w->upload_for = *c->digest;
	w->extent.repo = repo_ref(c->from);
	w->extent.digest = *c->digest;
	w->extent.size_bytes = c->size_bytes;
	return 0;
}

static ssize_t copy_extent(struct writer *w, const struct writer_copy *c)
{
	uint64_t left;
	size_t len;
	int r;

	r = writer_check_state(w);
	if (r == 0)
		r = writer_check_upload(w);
	if (r < 0)
		return r;
	if (!continues(w, c))
		return -EXDEV;
	r = w->extent.repo ? 0 : begin_copy(w, c);
	if (r < 0)
		return writer_fail(w, r);
	left = c->size_bytes - c->off;
	len = c->len < left ? (size_t)c->len : (size_t)left;
	w->extent.got += len;
	writer_set_size(w, w->extent.got);
	if (len > 0)
		writer_set_dirty(w);
	return (ssize_t)len;
}

ssize_t writer_copy(struct writer *w, const struct writer_copy *c,
		    struct wait *wait)
{
	ssize_t n;

	n = writer_enter(w, wait);
	if (n < 0)
		return n;
	n = copy_extent(w, c);
	writer_leave(w);
	return n;
}
