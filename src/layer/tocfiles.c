/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk's length is known when the next one has come: the chunks of a file
 * must follow each other without a gap.  (The first containers wrote empty
 * ones, too.)  eStargz tells only where a piece starts in the blob, several
 * may share one start; zstd:chunked also where the file's last one ends, which
 * leaves out the tar header behind it.
 */
#include "layer/tocfiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layer/tocformat.h"

void tocstarts_done(struct tocstarts *s)
{
	vec_done(&s->offs);
}

int tocstarts_add(struct tocstarts *s, const char *element, size_t len,
		  struct json_error *err)
{
	uint64_t off = tocentry_src_off(element, len);

	if (off == 0)
		return 0;
	if (s->offs.len > 0 && s->offs.v[s->offs.len - 1] == off)
		return 0;
	if (s->offs.len == TOC_STARTS_MAX)
		return toc_fail(err, "more than %zu pieces", TOC_STARTS_MAX);
	return vec_push(&s->offs, off);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void tocstarts_sort(struct tocstarts *s)
{
	size_t i = 1;

	while (i < s->offs.len && s->offs.v[i - 1] <= s->offs.v[i])
		i++;
	if (i < s->offs.len)
		qsort(s->offs.v, s->offs.len, sizeof(*s->offs.v), compare);
}

/* The smallest start above off; limit if there is none. */
static uint64_t next_start(const struct tocstarts *s, uint64_t off,
			   uint64_t limit)
{
	size_t low = 0, high = s->offs.len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->offs.v[mid] <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->offs.len && s->offs.v[low] < limit ? s->offs.v[low]
							   : limit;
}

void tocfiles_done(struct tocfiles *f)
{
	tocentry_done(&f->file);
	vec_done(&f->pieces);
}

/* Names the file in an error; its name is the image maker's. */
static int file_fail(const struct tocfiles *f, struct json_error *err,
		     const char *what)
{
	return toc_fail(err, "%.80s: %s", f->file.entry.path, what);
}

static int find_source(const struct tocfiles *f, const struct tocchunk *c,
		       struct layer_piece *p, struct json_error *err)
{
	uint64_t end = f->file.src_end;

	if (c->src_off == 0)
		return file_fail(f, err, "content without an offset");
	if (c->src_off >= f->src_limit)
		return file_fail(f, err, "content behind the table");
	if (end && (end <= c->src_off || end > f->src_limit))
		return file_fail(f, err, "content ends at a wrong place");
	p->src_off = c->src_off;
	p->src_end = next_start(f->starts, c->src_off, f->src_limit);
	if (end && end < p->src_end)
		p->src_end = end;
	p->inner_off = c->inner_off;
	return 0;
}

static int find_digest(const struct tocfiles *f, const struct tocchunk *c,
		       struct layer_piece *p, struct json_error *err)
{
	bool whole = p->bytes == f->file.entry.size_bytes;
	bool file_digest = whole && f->file.has_digest;

	if (!c->has_digest && !file_digest)
		return file_fail(f, err, "content without a digest");
	if (c->has_digest && file_digest &&
	    memcmp(c->digest, f->file.digest, sizeof(p->digest)) != 0)
		return file_fail(f, err, "two digests for one content");
	p->has_digest = true;
	memcpy(p->digest, c->has_digest ? c->digest : f->file.digest,
	       sizeof(p->digest));
	return 0;
}

/* The last chunk goes up to `end` of the file. */
static int close_chunk(struct tocfiles *f, uint64_t end, struct json_error *err)
{
	const struct tocchunk *c = &f->last;
	struct layer_piece p = {.off = c->off};
	int r;

	if (end < c->off || (c->bytes && c->bytes != end - c->off))
		return file_fail(f, err, "chunks that do not join");
	p.bytes = end - c->off;
	if (p.bytes == 0 || c->zeros)
		return 0;
	r = find_source(f, c, &p, err);
	if (r == 0)
		r = find_digest(f, c, &p, err);
	if (r < 0)
		return r;
	if (f->pieces.len == LAYER_PIECES_MAX)
		return file_fail(f, err, "too many chunks");
	return vec_push(&f->pieces, p);
}

static const char *skip_root(const char *path)
{
	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return path;
}

/* Things of the format itself, among the files. */
static bool is_own(struct tocfiles *f, const struct layer_entry *e)
{
	const char *name = skip_root(e->path);

	if (e->type != LAYER_FILE)
		return false;
	if (strcmp(name, ".prefetch.landmark") == 0) {
		if (f->last.src_off < f->src_limit)
			f->prefetch_end = f->last.src_off;
		return true;
	}
	return strcmp(name, ".no.prefetch.landmark") == 0 ||
	       strcmp(name, "stargz.index.json") == 0;
}

static int give(struct tocfiles *f, struct tocentry *e)
{
	e->entry.pieces = f->pieces.v;
	e->entry.pieces_len = e->entry.type == LAYER_FILE ? f->pieces.len : 0;
	if (is_own(f, &e->entry))
		return 0;
	f->entries++;
	return f->fn(f->arg, &e->entry);
}

static int close_file(struct tocfiles *f, struct json_error *err)
{
	int r;

	if (!f->has_file)
		return 0;
	r = close_chunk(f, f->file.entry.size_bytes, err);
	if (r == 0)
		r = give(f, &f->file);
	f->has_file = false;
	f->pieces.len = 0;
	tocentry_done(&f->file);
	return r;
}

static int add_chunk(struct tocfiles *f, const struct tocchunk *c,
		     struct json_error *err)
{
	int r;

	if (!f->has_file)
		return toc_fail(err, "a chunk without a file");
	if (c->off > f->file.entry.size_bytes)
		return file_fail(f, err, "a chunk behind its end");
	r = close_chunk(f, c->off, err);
	if (r == 0)
		f->last = *c;
	return r;
}

static int open_file(struct tocfiles *f, struct tocentry *e,
		     struct json_error *err)
{
	f->has_file = true;
	f->file = *e;
	f->last = e->chunk;
	memset(e, 0, sizeof(*e));
	if (f->last.off != 0)
		return file_fail(f, err, "its first chunk is not at its start");
	return 0;
}

int tocfiles_add(struct tocfiles *f, const char *element, size_t len,
		 struct json_error *err)
{
	struct tocentry e = {.doc = NULL};
	int r;

	r = tocentry_read(element, len, &e, err);
	if (r < 0)
		return r;
	if (e.is_chunk)
		r = add_chunk(f, &e.chunk, err);
	else
		r = close_file(f, err);
	if (r == 0 && !e.is_chunk)
		r = e.entry.type == LAYER_FILE ? open_file(f, &e, err)
					       : give(f, &e);
	tocentry_done(&e);
	return r;
}

int tocfiles_end(struct tocfiles *f, struct json_error *err)
{
	return close_file(f, err);
}
