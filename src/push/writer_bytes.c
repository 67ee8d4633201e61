/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written, and the upload that goes on behind it.  What cannot be a
 * document is sent from its first byte on, so that the close has only the tail
 * to wait for, and a registry that refuses makes the next write fail.
 */
#include <errno.h>
#include <string.h>

#include "oci/manifest.h"
#include "push/outbox_private.h"
#include "push/writer_private.h"

uint64_t writer_size(const struct writer *w)
{
	return w->size;
}

void writer_set_size(struct writer *w, uint64_t size_bytes)
{
	w->size = size_bytes;
	if (w->entry)
		w->entry->growing = size_bytes;
}

void writer_stop_upload(struct writer *w)
{
	upload_unref(steal(&w->upload));
}

/* --- the upload that runs behind --- */

int writer_check_upload(struct writer *w)
{
	int result;

	if (!w->upload || !upload_done(w->upload, &result) || result == 0)
		return 0;
	/* It had read what was changed later: once more, at the end. */
	if (result == -ESTALE || result == -ECANCELED) {
		writer_stop_upload(w);
		return 0;
	}
	return writer_fail(w, result);
}

static enum writer_sniff sniff(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '{')
			return SNIFF_DOCUMENT;
		if (!strchr(" \t\r\n", bytes[i]) || !bytes[i])
			return SNIFF_STREAM;
	}
	return SNIFF_BLANK;
}

/* What cannot be a document goes out while it is being written. */
static int begin_upload(struct writer *w)
{
	struct upload_spec spec = {.repo = w->repo, .feed = w->feed};

	if (w->began || w->upload || w->sniff == SNIFF_NOTHING)
		return 0;
	if (w->draft && w->sniff != SNIFF_STREAM &&
	    w->size <= MANIFEST_BYTES_MAX)
		return 0;
	if (writer_name(w, &w->upload_for) != DRAFT_NAME_BLOB)
		return 0;
	w->began = true;
	spec.digest = &w->upload_for;
	return upload_begin(w->o, &spec, &w->upload);
}

/* --- bytes --- */

/* Without a wait only if there is nothing to wait for. */
static int enter(struct writer *w, struct wait *wait)
{
	if (wait)
		return writer_enter(w, wait);
	autolock(&w->lock);
	if (w->busy || w->extent.repo)
		return -EINPROGRESS;
	w->busy = true;
	return 0;
}

/* What was not written of an image is not published. */
static int fail(struct writer *w, int error)
{
	struct digest ignored;
	enum draft_name name = writer_name(w, &ignored);

	if (name == DRAFT_NAME_INDEX || name == DRAFT_NAME_MANIFEST)
		draft_note_root(w->draft, error);
	return writer_fail(w, error);
}

static void sniff_write(struct writer *w, const void *buf, size_t len,
			uint64_t off)
{
	if (off == 0 && w->size == 0)
		w->sniff = sniff(buf, len);
	else if (w->sniff == SNIFF_BLANK && off == w->size)
		w->sniff = sniff(buf, len);
}

static int write_bytes(struct writer *w, const void *buf, size_t len,
		       uint64_t off, struct wait *wait)
{
	int r;

	r = writer_check_state(w);
	if (r == 0)
		r = writer_check_upload(w);
	if (r < 0 || len == 0)
		return r;
	r = writer_own_feed(w, wait);
	if (r < 0)
		return r == -EINTR ? r : fail(w, r);
	r = feed_write(w->feed, buf, len, off);
	if (r < 0) {
		writer_report(w, r, "there is no room for what is written");
		return fail(w, r);
	}
	sniff_write(w, buf, len, off);
	if (off + len > w->size)
		writer_set_size(w, off + len);
	writer_set_dirty(w);
	r = begin_upload(w);
	return r < 0 ? writer_fail(w, r) : 0;
}

int writer_write(struct writer *w, const void *buf, size_t len, uint64_t off,
		 struct wait *wait)
{
	int r;

	r = enter(w, wait);
	if (r < 0)
		return r;
	r = write_bytes(w, buf, len, off, wait);
	writer_leave(w);
	return r;
}

ssize_t writer_read(struct writer *w, void *buf, size_t len, uint64_t off,
		    struct wait *wait)
{
	ssize_t n;

	n = enter(w, wait);
	if (n < 0)
		return n;
	if (w->extent.repo)
		n = writer_own_feed(w, wait);
	if (n == 0 && w->feed)
		n = feed_read(w->feed, buf, len, off);
	writer_leave(w);
	return n;
}

static int truncate_bytes(struct writer *w, uint64_t size_bytes,
			  struct wait *wait)
{
	int r;

	r = writer_check_state(w);
	if (r < 0 || size_bytes == w->size)
		return r;
	if (size_bytes == 0) {
		writer_forget_extent(w);
		writer_stop_upload(w);
		w->began = false;
		w->sniff = SNIFF_NOTHING;
		if (w->given) {
			feed_unref(steal(&w->feed));
			w->given = false;
		}
	}
	r = writer_own_feed(w, wait);
	if (r == -EINTR)
		return r;
	if (r == 0)
		r = feed_truncate(w->feed, size_bytes);
	if (r < 0)
		return fail(w, r);
	writer_set_size(w, size_bytes);
	writer_set_dirty(w);
	return 0;
}

int writer_truncate(struct writer *w, uint64_t size_bytes, struct wait *wait)
{
	int r;

	r = enter(w, wait);
	if (r < 0)
		return r;
	r = truncate_bytes(w, size_bytes, wait);
	writer_leave(w);
	return r;
}
