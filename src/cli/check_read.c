/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: what is listed, then one image, as a mount would read it.  Asks
 * for two manifests at most, because some count them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/check.h"
#include "registry/fetch.h"
#include "registry/pager.h"
#include "registry/referrers.h"
#include "util/auto.h"

/* A host that is listed namespace by namespace is asked for that of the
 * repository at hand.  What kind it is may be shown by its first refusal. */
static int list_first(struct check *c, struct wait *w, char **ret_area,
		      struct string_list *names, bool *ret_more)
{
	const char *path = c->name.ref.repository;
	struct pager *pager = NULL;
	struct pager_areas how;
	bool again;
	int r;

	do {
		pager_areas(c->registry, &how);
		again = !how.components;
		free(*ret_area);
		*ret_area = strndup(path, again ? 0 : strcspn(path, "/"));
		if (!*ret_area)
			return -ENOMEM;
		r = pager_open_area(c->registry, *ret_area, &pager);
		if (r == 0)
			r = pager_next(pager, w, names, ret_more);
		pager_close(pager);
		pager = NULL;
		pager_areas(c->registry, &how);
	} while (r == -EOPNOTSUPP && again && how.components);
	return r;
}

static const char *lister_words(const struct probe_login *l)
{
	return strcmp(l->lister, "v2") == 0 ? "/v2/_catalog" : "its own API";
}

void check_catalogue(struct check *c)
{
	autofree char *area = NULL;
	struct string_list names = {.v = NULL};
	struct probe_login l;
	struct wait w;
	bool more = false;
	int r;

	check_wait(c, &w);
	r = list_first(c, &w, &area, &names, &more);
	probe_login(c->registry, &l);
	if (r == -EOPNOTSUPP) {
		check_row(&c->report, "catalogue", CHECK_NO,
			  "it does not list its repositories%s%s (%s)",
			  area && *area ? " in " : "",
			  area && *area ? area : "", lister_words(&l));
		check_advice(&c->report,
			     "repositories are found by name all the same; a "
			     "log-in may list more");
	} else if (r < 0) {
		check_failed(c, "catalogue", r);
	} else {
		check_row(&c->report, "catalogue", CHECK_YES,
			  "%zu repositories%s%s%s, by %s", names.len,
			  *area ? " in " : "", area,
			  more ? " on the first page" : "", lister_words(&l));
	}
	string_list_done(&names);
}

/* The one to try: the given, "latest", or the last of the first page. */
static void choose_tag(struct check *c, const struct string_list *names)
{
	if (c->ref[0])
		return;
	for (size_t i = 0; i < names->len; i++) {
		snprintf(c->ref, sizeof(c->ref), "%s", names->v[i]);
		if (strcmp(names->v[i], "latest") == 0)
			return;
	}
}

static void row_tags(struct check *c, const struct string_list *names,
		     bool more)
{
	c->is_there = true;
	if (names->len == 0 && !more) {
		check_row(&c->report, "tags", CHECK_YES, "none");
		return;
	}
	check_row(&c->report, "tags", CHECK_YES, "%zu%s", names->len,
		  more ? " on the first page, more follow" : ", one page");
}

void check_tags(struct check *c)
{
	struct string_list names = {.v = NULL};
	struct pager *pager = NULL;
	struct wait w;
	bool more = false;
	int r;

	check_wait(c, &w);
	r = pager_open_tags(c->registry, c->name.ref.repository, &pager);
	if (r == 0)
		r = pager_next(pager, &w, &names, &more);
	if (r == 0) {
		row_tags(c, &names, more);
	} else if (r == -ENOENT) {
		check_row(&c->report, "tags", CHECK_NO,
			  "the registry knows no repository %s%s",
			  c->name.ref.repository,
			  c->identified ? " that this account can see" : "");
		check_advice(&c->report,
			     "is the path right?  Private ones are often "
			     "denied like this; a log-in may show it");
		if (!c->ref[0])
			check_fail(c, CHECK_UNREADABLE);
	} else {
		check_failed(c, "tags", r);
		if (!c->ref[0])
			check_fail(c, r == -EACCES ? CHECK_REFUSED
						   : CHECK_UNREADABLE);
	}
	choose_tag(c, &names);
	string_list_done(&names);
	pager_close(pager);
}

static void row_head(struct check *c)
{
	struct probe_head p;
	struct digest d;
	char digest[24];
	struct wait w;

	check_wait(c, &w);
	if (probe_head(c->there, c->there_name, c->ref, &w, &p) < 0)
		return;
	if (p.answer.error < 0 || p.answer.status == 401 ||
	    p.answer.status == 403 || p.answer.status == 429) {
		check_refused(c, "head", &p.answer);
	} else if (p.answer.status == 200 && digest_parse(p.digest, &d) == 0) {
		digest_short(&d, digest);
		check_row(&c->report, "head", CHECK_YES,
			  "%s is %s, %s: tags are resolved without a GET",
			  c->name.ref.has_digest ? "it" : c->ref, digest,
			  p.mediatype);
	} else if (p.answer.status == 200) {
		check_row(&c->report, "head", CHECK_NO,
			  "HEAD of a manifest gives no digest: tags are "
			  "resolved by GET");
		check_advice(&c->report,
			     "raise tag_ttl= where GETs are counted");
	} else if (p.answer.status == 404) {
		check_row(&c->report, "head", CHECK_NO, "there is no %s",
			  c->ref);
	} else {
		check_row(&c->report, "head", CHECK_NO,
			  "HTTP status %d: tags are resolved by GET",
			  p.answer.status);
		check_advice(&c->report,
			     "raise tag_ttl= where GETs are counted");
	}
}

/* 0: it came, and is what its digest says. */
static int row_manifest(struct check *c)
{
	char digest[DIGEST_TEXT_MAX];
	struct wait w;
	int r;

	check_wait(c, &w);
	r = fetch_manifest(c->registry, c->name.ref.repository, c->ref, &w,
			   &c->manifest);
	if (r == -ENOENT) {
		check_row(&c->report, "manifest", CHECK_NO, "there is no %s",
			  c->ref);
		check_advice(&c->report, "is the tag right?");
		check_fail(c, CHECK_UNREADABLE);
		return r;
	}
	if (r < 0) {
		check_failed(c, "manifest", r);
		check_fail(c, r == -EACCES ? CHECK_REFUSED : CHECK_UNREADABLE);
		return r;
	}
	c->is_there = true;
	digest_format(&c->manifest->digest, digest);
	check_row(&c->report, "manifest", CHECK_YES,
		  "%s, %" PRIu64 " bytes, %s, checked", digest,
		  c->manifest->size_bytes, c->manifest->mediatype);
	return 0;
}

/* The manifest of this machine's platform, where the tag is an index. */
static int row_platform(struct check *c)
{
	const struct descriptor *d;
	char digest[DIGEST_TEXT_MAX], brief[24];
	struct manifest *m;
	struct wait w;
	int r;

	if (c->manifest->class != MEDIATYPE_INDEX)
		return 0;
	d = manifest_choose(c->manifest, &c->options.platform);
	if (!d) {
		check_row(&c->report, "platform", CHECK_NO,
			  "none of its %zu images is for this machine",
			  c->manifest->children_len);
		check_advice(&c->report, "platform= chooses another");
		return -ENOENT;
	}
	digest_format(&d->digest, digest);
	digest_short(&d->digest, brief);
	check_wait(c, &w);
	r = fetch_manifest(c->registry, c->name.ref.repository, digest, &w, &m);
	if (r < 0) {
		check_failed(c, "platform", r);
		check_fail(c, r == -EACCES ? CHECK_REFUSED : CHECK_UNREADABLE);
		return r;
	}
	check_row(&c->report, "platform", CHECK_YES, "one of %zu: %s, checked",
		  c->manifest->children_len, brief);
	manifest_free(c->manifest);
	c->manifest = m;
	return 0;
}

static void row_referrers(struct check *c)
{
	struct probe_login l;
	struct descriptor *v;
	struct wait w;
	size_t len;
	int r;

	check_wait(c, &w);
	r = referrers_fetch(c->registry, c->name.ref.repository,
			    &c->manifest->digest, &w, &v, &len);
	if (r < 0) {
		check_failed(c, "referrers", r);
		return;
	}
	referrers_free(v, len);
	probe_login(c->registry, &l);
	if (l.has_referrers) {
		check_row(&c->report, "referrers", CHECK_YES,
			  "by the API, %zu for this manifest", len);
		return;
	}
	check_row(&c->report, "referrers", CHECK_NO,
		  "no API; kept under a tag made of the digest instead, %zu "
		  "for this manifest",
		  len);
}

static void row_rate(struct check *c)
{
	struct probe_login l;
	char words[640], window[64] = "";

	probe_login(c->there, &l);
	if (!l.has_rate) {
		check_row(&c->report, "rate limit", CHECK_UNKNOWN,
			  "it tells of none");
		return;
	}
	if (l.rate_window_s)
		snprintf(window, sizeof(window),
			 " in a window of %" PRIu64 " s", l.rate_window_s);
	check_row(&c->report, "rate limit", l.rate_left ? CHECK_YES : CHECK_NO,
		  "%" PRIu64 " of %" PRIu64 " manifests left%s", l.rate_left,
		  l.rate_limit, window);
	if (!l.rate_left && !c->identified)
		check_advice(&c->report,
			     "wait, or log in for a limit of your "
			     "own: %s",
			     check_login_words(c, words, sizeof(words)));
	else if (!l.rate_left)
		check_advice(&c->report, "wait for the window to pass");
}

static void read_image(struct check *c)
{
	static const char *const rest[] = {"blob", "ranges", "redirect"};
	int r;

	row_head(c);
	r = row_manifest(c);
	if (r == 0)
		row_referrers(c);
	else
		check_skip(c, "referrers", "no manifest to go by");
	if (r == 0 && row_platform(c) == 0) {
		check_blob(c);
		check_ranges(c);
		return;
	}
	for (size_t i = 0; i < sizeof(rest) / sizeof(*rest); i++)
		check_skip(c, rest[i], "no manifest to go by");
}

void check_read(struct check *c)
{
	static const char *const rows[] = {"tags",	"head", "manifest",
					   "referrers", "blob", "ranges",
					   "redirect"};
	const char *why = "name a repository: HOST/REPOSITORY";
	size_t first = 0;

	check_catalogue(c);
	if (c->name.ref.repository[0]) {
		check_tags(c);
		why = "there is no tag to try";
		first = 1;
	}
	if (c->ref[0])
		read_image(c);
	for (size_t i = first; !c->ref[0] && i < sizeof(rows) / sizeof(*rows);
	     i++)
		check_skip(c, rows[i], why);
	row_rate(c);
}
