/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of blobs: a small one whole, against its digest, and a piece out
 * of the middle of the largest. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "registry/fetch.h"
#include "util/hash.h"

#define RANGE_BYTES 512
#define WHOLE_MAX ((uint64_t)4 << 20)
#define PIECE 16384

static bool is_sized(const struct descriptor *d)
{
	return d->size_bytes != DESCRIPTOR_SIZE_UNKNOWN && d->size_bytes > 0;
}

/* Of those in `m`: the smallest or the largest; NULL: none is of any use. */
static const struct descriptor *choose(const struct manifest *m, bool largest)
{
	const struct descriptor *best = NULL;

	if (m->class != MEDIATYPE_MANIFEST)
		return NULL;
	if (is_sized(&m->config))
		best = &m->config;
	for (size_t i = 0; i < m->children_len; i++) {
		const struct descriptor *d = &m->children[i];

		if (!is_sized(d) || d->urls_len)
			continue;
		if (!best || (largest ? d->size_bytes > best->size_bytes
				      : d->size_bytes < best->size_bytes))
			best = d;
	}
	return best;
}

static int read_whole(struct check *c, const struct descriptor *d,
		      struct wait *w, bool *ret_right)
{
	uint8_t sum[HASH_MAX];
	char buf[PIECE];
	struct hash h;
	struct fetch *f;
	ssize_t n;
	int r = fetch_blob(c->registry, c->name.ref.repository, &d->digest,
			   d->size_bytes, 0, d->size_bytes, w, &f);

	if (r < 0)
		return r;
	hash_init(&h, d->digest.alg);
	while ((n = fetch_read(f, buf, sizeof(buf), w)) > 0)
		hash_update(&h, buf, (size_t)n);
	fetch_close(f);
	hash_final(&h, sum);
	*ret_right = memcmp(sum, d->digest.raw, hash_size(d->digest.alg)) == 0;
	return n < 0 ? (int)n : 0;
}

void check_blob(struct check *c)
{
	const struct descriptor *d = choose(c->manifest, false);
	char digest[24];
	bool right = false;
	struct wait w;
	int r;

	if (!d || d->size_bytes > WHOLE_MAX) {
		check_skip(c, "blob", "the image has no small blob to try");
		return;
	}
	digest_short(&d->digest, digest);
	check_wait(c, &w);
	r = read_whole(c, d, &w, &right);
	if (r < 0) {
		check_failed(c, "blob", r);
		check_fail(c, r == -EACCES ? CHECK_REFUSED : CHECK_UNREADABLE);
	} else if (!right) {
		check_row(&c->report, "blob", CHECK_NO,
			  "%s comes with other bytes than its digest says",
			  digest);
		check_advice(&c->report, "what stands in between changes it, "
					 "or the registry's storage is "
					 "damaged");
		check_fail(c, CHECK_UNREADABLE);
	} else {
		check_row(&c->report, "blob", CHECK_YES,
			  "%s, %" PRIu64 " bytes, checked", digest,
			  d->size_bytes);
	}
}

static bool is_read(const struct probe *p)
{
	return p->error == 0 && (p->status == 200 || p->status == 206);
}

static void row_redirect(struct check *c, const struct probe_range *p)
{
	if (!p->redirects) {
		check_row(&c->report, "redirect", CHECK_NO,
			  "blobs come from the registry itself");
		return;
	}
	check_row(&c->report, "redirect",
		  is_read(&p->answer) ? CHECK_YES : CHECK_NO,
		  "blobs come from %s%s%s", p->host,
		  is_read(&p->answer) ? "" : ": ",
		  is_read(&p->answer) ? "" : p->answer.text);
	if (!is_read(&p->answer))
		check_advice(&c->report,
			     "that host must be reachable from here, too: "
			     "firewall, proxy, no_proxy?");
}

static void row_ranges(struct check *c, const struct probe_range *p,
		       const struct descriptor *d, uint64_t off, uint64_t len)
{
	if (p->partial) {
		check_row(&c->report, "ranges", CHECK_YES,
			  "%" PRIu64 " bytes at %" PRIu64 " of %" PRIu64, len,
			  off, d->size_bytes);
	} else if (p->answer.error == 0 && p->answer.status == 200) {
		check_row(&c->report, "ranges", CHECK_NO,
			  "ignored: blobs are read whole");
		check_advice(&c->report,
			     "the first read of a file waits for its layer; a "
			     "cache_size= over the images' sizes keeps them");
	} else {
		check_refused(c, "ranges", &p->answer);
		check_fail(c, CHECK_UNREADABLE);
	}
}

void check_ranges(struct check *c)
{
	const struct descriptor *d = choose(c->manifest, true);
	struct probe_range p;
	uint64_t off, len;
	struct wait w;

	if (!d || d->size_bytes < 2) {
		check_skip(c, "ranges", "the image has no blob to try");
		check_skip(c, "redirect", "the image has no blob to try");
		return;
	}
	off = d->size_bytes / 2;
	len = d->size_bytes - off < RANGE_BYTES ? d->size_bytes - off
						: RANGE_BYTES;
	check_wait(c, &w);
	if (probe_range(c->there, c->there_name, d, off, len, &w, &p) < 0)
		return;
	row_ranges(c, &p, d, off, len);
	row_redirect(c, &p);
}
