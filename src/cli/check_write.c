/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would change something, found out without changing it.  Only in a
 * repository that is there: with the mere wish to push, some registries make
 * one.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/check.h"
#include "util/str.h"

#define CANCEL_MS 2000

static void row_opened(struct check *c, const struct probe_upload *u,
		       uint64_t least)
{
	autostr forms = {.max = 1024};
	bool ended = u->answer.error == 0 && u->answer.status < 300;

	if (probe_upload_forms(c->registry, &forms) < 0)
		return;
	if (least)
		str_addf(&forms, ", chunks of at least %" PRIu64 " bytes",
			 least);
	check_row(&c->report, "push", CHECK_YES,
		  "an upload was opened and %s; takes %s",
		  ended ? "cancelled" : "could not be cancelled", forms.buf);
	if (!ended)
		check_advice(&c->report,
			     "nothing is in it; the registry forgets it by "
			     "itself (%s)",
			     u->answer.text[0] ? u->answer.text : "no reason");
}

static void row_refused(struct check *c, const struct probe *p)
{
	bool off = p->status == 405 || strcmp(p->code, "UNSUPPORTED") == 0;

	check_refused(c, "push", p);
	if (off)
		check_advice(&c->report,
			     "it takes no uploads: read-only, or it only "
			     "passes on what another registry has");
	else if (p->status == 404)
		check_advice(&c->report,
			     "the repository, or the project that it belongs "
			     "to, has to be made first");
}

static void check_push(struct check *c)
{
	const char *repository = c->name.ref.repository;
	struct probe_upload u = {.session = NULL};
	uint64_t least;
	struct wait w;
	int r;

	check_wait(c, &w);
	r = probe_upload(c->registry, repository, &w, &u);
	check_hold(u.session != NULL);
	if (r == 0 && u.session) {
		least = u.chunk_min_bytes;
		wait_init(&w, CANCEL_MS, 0);
		r = probe_upload_end(c->registry, repository, &w, &u);
		if (r == 0)
			row_opened(c, &u, least);
	} else if (r == 0) {
		row_refused(c, &u.answer);
	}
	check_hold(false);
}

static void check_delete(struct check *c)
{
	struct probe p;
	struct wait w;
	bool off;

	check_wait(c, &w);
	if (probe_delete(c->registry, c->name.ref.repository, &w, &p) < 0)
		return;
	off = p.status == 405 || strcmp(p.code, "UNSUPPORTED") == 0;
	if (p.error == 0 &&
	    (p.status == 404 || (p.status >= 200 && p.status < 300))) {
		check_row(&c->report, "delete", CHECK_YES,
			  "permitted (HTTP status %d for a manifest that "
			  "cannot be there); the mount needs allow_delete",
			  p.status);
	} else if (p.error == 0 && off) {
		check_row(&c->report, "delete", CHECK_NO,
			  "switched off there (HTTP status %d)", p.status);
		check_advice(&c->report,
			     "the registry's owner can switch it on "
			     "(distribution: storage.delete.enabled)");
	} else if (p.error == 0 && p.status == 400) {
		check_row(&c->report, "delete", CHECK_UNKNOWN,
			  "HTTP status 400: %s", p.text);
	} else {
		check_refused(c, "delete", &p);
	}
}

static void skip_all(struct check *c, const char *why)
{
	check_skip(c, "push", why);
	check_skip(c, "mount", why);
	check_skip(c, "delete", why);
}

void check_write(struct check *c)
{
	if (!c->name.ref.repository[0]) {
		skip_all(c, "name a repository: HOST/REPOSITORY");
	} else if (c->no_push) {
		skip_all(c, "not tried, for --no-push");
	} else if (c->options.read_only) {
		skip_all(c, "not tried: the options say ro");
	} else if (!c->is_there) {
		skip_all(c, "not tried: in a repository that is not there the "
			    "registry might make it");
	} else {
		check_push(c);
		check_row(&c->report, "mount", CHECK_UNKNOWN,
			  "tried when an image is copied within the registry; "
			  "where it is refused the bytes are sent");
		check_delete(c);
	}
}
