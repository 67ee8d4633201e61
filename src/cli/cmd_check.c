/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries on a registry what a mount would do, and says of each step whether it
 * works and, if not, why.  A step that needs a failed one is left out.
 */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/app.h"
#include "oci/reference.h"
#include "registry/fetch.h"
#include "registry/pager.h"
#include "registry/referrers.h"
#include "util/auto.h"
#include "util/clock.h"

#define PROBE_BYTES 512

struct check {
	struct app app;
	struct options options;
	struct option_times times;
	struct reference ref;
	struct registry *registry;
	struct manifest *manifest;
	unsigned failed;
	size_t faults_before; /* this step */
};

static void print_row(const char *step, const char *result, const char *detail)
{
	printf("%-11s %-7s %s\n", step, result, detail);
}

/* The reason of this step's failure, in the registry's own words if it said
 * any. */
static void print_failure(struct check *c, const char *step, int r)
{
	bool told = fault_log_count(c->app.faults) > c->faults_before;
	char text[FAULT_TEXT_MAX + 128];
	struct fault f;

	c->failed++;
	if (!told || fault_log_last(c->app.faults, c->ref.host, "", &f) < 0)
		snprintf(text, sizeof(text), "%s",
			 r == -ENOENT ? "the registry knows no such thing"
				      : strerror(-r));
	else if (f.status)
		snprintf(text, sizeof(text), "%s (HTTP %d: %s)", strerror(-r),
			 f.status, f.text);
	else
		snprintf(text, sizeof(text), "%s (%s)", strerror(-r), f.text);
	print_row(step, "FAILED", text);
}

/* Before each step. */
static void patience(struct check *c, struct wait *w)
{
	c->faults_before = fault_log_count(c->app.faults);
	wait_init(w, c->times.read_budget, 0);
}

static int check_connect(struct check *c)
{
	struct registry_probe p;
	char text[640];
	struct wait w;
	int r;

	patience(c, &w);
	r = registry_probe(c->registry, &w, &p);
	if (r < 0) {
		print_failure(c, "connect", r);
		return r;
	}
	snprintf(text, sizeof(text), "%s, HTTP/%s%s", p.https ? "TLS" : "plain",
		 p.http2 ? "2" : "1.1",
		 p.https && !p.tls_verified ? ", certificate NOT verified"
					    : "");
	print_row("connect", "ok", text);
	snprintf(text, sizeof(text), "%s%s%s, %s", p.auth,
		 p.realm[0] ? " from " : "", p.realm,
		 p.with_credential ? "with a credential" : "anonymous");
	print_row("auth", "ok", text);
	return 0;
}

/* A host that is listed namespace by namespace is asked for that of the
 * repository at hand.  What kind it is may be shown by its first refusal. */
static int list_first(struct check *c, struct wait *w, char **ret_area,
		      struct string_list *names, bool *ret_more)
{
	const char *path = c->ref.repository;
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

static void check_catalogue(struct check *c)
{
	autofree char *area = NULL;
	struct string_list names = {0};
	struct wait w;
	char text[320];
	bool more = false;
	int r;

	patience(c, &w);
	r = list_first(c, &w, &area, &names, &more);
	if (r == -EOPNOTSUPP) {
		print_row("catalogue", "no",
			  "the registry does not list its repositories; "
			  "look-ups by name still work");
	} else if (r < 0) {
		print_failure(c, "catalogue", r);
	} else {
		snprintf(text, sizeof(text), "%zu repositories%s%s%s",
			 names.len, *area ? " in " : "", area,
			 more ? " on the first page" : "");
		print_row("catalogue", "ok", text);
	}
	string_list_done(&names);
}

/* Lists tags; keeps the one to try: the given, "latest", or the last. */
static int check_tags(struct check *c, char tag[REFERENCE_TAG_MAX + 1])
{
	struct string_list names = {0};
	struct pager *pager = NULL;
	struct wait w;
	char text[64];
	bool more = false;
	int r;

	patience(c, &w);
	r = pager_open_tags(c->registry, c->ref.repository, &pager);
	if (r == 0)
		r = pager_next(pager, &w, &names, &more);
	if (r < 0) {
		print_failure(c, "tags", r);
	} else {
		snprintf(text, sizeof(text), "%zu tags%s", names.len,
			 more ? " on the first page" : "");
		print_row("tags", "ok", text);
	}
	for (size_t i = 0; i < names.len; i++)
		if (!tag[0] || strcmp(names.v[i], "latest") == 0)
			snprintf(tag, REFERENCE_TAG_MAX + 1, "%s", names.v[i]);
	string_list_done(&names);
	pager_close(pager);
	return r;
}

static int check_manifest(struct check *c, const char *ref)
{
	char digest[DIGEST_TEXT_MAX], text[512];
	struct wait w;
	int r;

	patience(c, &w);
	r = fetch_manifest(c->registry, c->ref.repository, ref, &w,
			   &c->manifest);
	if (r < 0) {
		print_failure(c, "manifest", r);
		return r;
	}
	digest_format(&c->manifest->digest, digest);
	snprintf(text, sizeof(text), "%s is %s, %s", ref, digest,
		 c->manifest->mediatype);
	print_row("manifest", "ok", text);
	return 0;
}

/* The manifest of this machine's platform, where the tag is an index. */
static int check_platform(struct check *c)
{
	char digest[DIGEST_TEXT_MAX];
	const struct descriptor *d;
	struct manifest *m;
	struct wait w;
	int r;

	if (c->manifest->class != MEDIATYPE_INDEX)
		return 0;
	d = manifest_choose(c->manifest, &c->options.platform);
	if (!d) {
		print_row("platform", "no", "the index has none that fits");
		return -ENOENT;
	}
	digest_format(&d->digest, digest);
	patience(c, &w);
	r = fetch_manifest(c->registry, c->ref.repository, digest, &w, &m);
	if (r < 0) {
		print_failure(c, "platform", r);
		return r;
	}
	manifest_free(c->manifest);
	c->manifest = m;
	print_row("platform", "ok", digest);
	return 0;
}

static const struct descriptor *largest_layer(const struct manifest *m)
{
	const struct descriptor *best = NULL;

	if (m->class != MEDIATYPE_MANIFEST)
		return NULL;
	for (size_t i = 0; i < m->children_len; i++)
		if (!best || m->children[i].size_bytes > best->size_bytes)
			best = &m->children[i];
	return best ? best : &m->config;
}

static int read_range(struct check *c, const struct descriptor *d, uint64_t off,
		      uint64_t len, bool *ret_whole)
{
	char buf[PROBE_BYTES];
	struct fetch *f;
	struct wait w;
	ssize_t n;
	int r;

	patience(c, &w);
	r = fetch_blob(c->registry, c->ref.repository, &d->digest,
		       d->size_bytes, off, len, &w, &f);
	if (r < 0)
		return r;
	*ret_whole = fetch_off(f) != off;
	n = fetch_read(f, buf, sizeof(buf), &w);
	fetch_close(f);
	return n < 0 ? (int)n : 0;
}

static void check_ranges(struct check *c)
{
	const struct descriptor *d = largest_layer(c->manifest);
	char text[128];
	uint64_t off, len;
	bool whole;
	int r;

	if (!d || d->size_bytes < 2)
		return;
	off = d->size_bytes / 2;
	len = d->size_bytes - off;
	if (len > PROBE_BYTES)
		len = PROBE_BYTES;
	r = read_range(c, d, off, len, &whole);
	if (r < 0) {
		print_failure(c, "ranges", r);
		return;
	}
	snprintf(text, sizeof(text), "%llu bytes at %llu of %llu",
		 (unsigned long long)len, (unsigned long long)off,
		 (unsigned long long)d->size_bytes);
	print_row("ranges", whole ? "no" : "ok",
		  whole ? "ignored: blobs are read whole" : text);
}

static void check_referrers(struct check *c)
{
	struct descriptor *v;
	struct wait w;
	char text[64];
	size_t len;
	int r;

	patience(c, &w);
	r = referrers_fetch(c->registry, c->ref.repository,
			    &c->manifest->digest, &w, &v, &len);
	if (r < 0) {
		print_failure(c, "referrers", r);
		return;
	}
	snprintf(text, sizeof(text), "%zu for this manifest", len);
	print_row("referrers", "ok", text);
	referrers_free(v, len);
}

static void check_repository(struct check *c)
{
	char tag[REFERENCE_TAG_MAX + 1] = "", digest[DIGEST_TEXT_MAX];
	const char *ref = c->ref.tag;

	check_tags(c, tag);
	if (c->ref.has_digest) {
		digest_format(&c->ref.digest, digest);
		ref = digest;
	} else if (!ref[0]) {
		ref = tag;
	}
	if (!ref[0] || check_manifest(c, ref) < 0)
		return;
	check_referrers(c);
	if (check_platform(c) == 0)
		check_ranges(c);
}

static int check_run(struct check *c)
{
	int r;

	r = registries_get(c->app.registries, c->ref.host, &c->registry);
	if (r < 0) {
		print_row("allowed", "FAILED", strerror(-r));
		return 2;
	}
	if (check_connect(c) < 0)
		return 2;
	check_catalogue(c);
	if (c->ref.repository[0])
		check_repository(c);
	print_row("push", "-", "not tried: this version reads only");
	print_row("delete", "-", "not tried: this version reads only");
	return c->failed ? 2 : 0;
}

/* The options of a mount, with the reference in the place of SOURCE. */
static int check_options(struct check *c, int argc, char **argv)
{
	char self[] = "registryfs", nowhere[] = "/";
	autofree char **v = calloc((size_t)argc + 3, sizeof(*v));
	char *host = NULL;
	int n = 0, r;

	if (!v)
		return -ENOMEM;
	v[n++] = self;
	for (int i = 1; i < argc - 1; i++)
		v[n++] = argv[i];
	host = c->ref.host;
	v[n++] = host;
	v[n++] = nowhere;
	r = options_parse(n, v, &c->options);
	if (r == 0) {
		options_times(&c->options, &c->times);
		log_set_level(LOG_LEVEL_ERROR);
	}
	return r;
}

static int run(int argc, char **argv)
{
	struct check c = {0};
	int status = 1;

	if (argc < 2)
		return command_usage(&cmd_check);
	if (reference_parse(argv[argc - 1], &c.ref) < 0) {
		fprintf(stderr, "registryfs: %s: no HOST[/REPOSITORY]\n",
			argv[argc - 1]);
		return command_usage(&cmd_check);
	}
	if (check_options(&c, argc, argv) == 0) {
		status = 2;
		if (app_open(&c.options, &c.app) == 0)
			status = check_run(&c);
		app_close(&c.app);
	}
	manifest_free(c.manifest);
	options_done(&c.options);
	return status;
}

const struct command cmd_check = {
	.name = "check",
	.usage = "[options] HOST[/REPOSITORY[:TAG]]",
	.help = "what works with this registry, what does not, and why",
	.run = run,
};
