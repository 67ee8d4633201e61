/* SPDX-License-Identifier: Apache-2.0 */
/* The context of this folder, the hosts, and the texts of `.registryfs`. */
#include "content/content.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/blob.h"
#include "content/build.h"
#include "content/context.h"
#include "content/span.h"
#include "store/rows.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/metric.h"

/* FUSE threads that never wait for a network: they answer what is cached. */
#define CONTENT_RESERVED_THREADS 16
#define CONTENT_AHEAD_SHARE 8 /* of the cache, for one reader */
#define CONTENT_SPANS_BYTES ((uint64_t)32 << 20) /* decoded, in memory */
#define CONTENT_AHEAD_NO_DISK ((uint64_t)2 << 20)

int content_new(const struct content_config *cfg, struct content **ret)
{
	struct content *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->options = cfg->options;
	c->registries = cfg->registries;
	c->store = cfg->store;
	c->allow = cfg->allow;
	c->faults = cfg->faults;
	c->started_wall = clock_wall();
	options_times(cfg->options, &c->times);
	gate_init(&c->gate,
		  cfg->options->max_threads - CONTENT_RESERVED_THREADS);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->layers_lock, NULL);
	pthread_mutex_init(&c->docs_lock, NULL);
	list_init(&c->docs_used);
	r = single_new(&c->single);
	if (r == 0)
		r = map_new(&c->repos);
	if (r == 0)
		r = map_new(&c->catalogues);
	if (r == 0)
		r = map_new(&c->docs);
	if (r == 0)
		r = map_new(&c->layers);
	if (r == 0)
		r = map_new(&c->images);
	if (r == 0)
		r = flights_new(c, &c->flights);
	if (r == 0)
		r = spans_new(CONTENT_SPANS_BYTES, &c->spans);
	if (r == 0)
		r = builds_new(c, &c->builds);
	if (r < 0) {
		content_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void content_free(struct content *c)
{
	if (!c)
		return;
	builds_free(c->builds); /* they wait for flights */
	for (size_t i = 0; i < CONTENT_AHEAD_BLOBS; i++)
		blob_unref(c->ahead[i]);
	flights_free(c->flights);
	spans_free(c->spans);
	if (c->catalogues)
		catalogue_forget_all(c);
	if (c->docs)
		doc_forget_all(c);
	map_free(c->docs, NULL);
	map_free(c->layers, NULL);
	map_free(c->images, NULL);
	map_free(c->repos, NULL);
	single_free(c->single);
	pthread_mutex_destroy(&c->docs_lock);
	pthread_mutex_destroy(&c->layers_lock);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

bool content_may(struct content *c, const char *host, const char *path)
{
	return *path ? allow_path(c->allow, host, path)
		     : allow_host(c->allow, host);
}

int content_allowed(struct content *c, const char *host, const char *path)
{
	const char *where;
	char text[256];

	if (content_may(c, host, path))
		return 0;
	where = allow_blocked(c->allow, host, path);
	if (where)
		snprintf(text, sizeof(text), "is blocked by %.200s", where);
	content_note(c, host, path, EPERM,
		     where ? text : allow_reason(c->allow));
	return -EPERM;
}

int content_place(struct content *c, const char *host, char **ret)
{
	return registries_place(c->registries, host, ret);
}

uint64_t content_ahead_limit(struct content *c)
{
	uint64_t limit = c->options->prefetch;
	uint64_t room = store_room(c->store);

	/* What is fetched ahead must still be there when it is read. */
	if (limit > room / CONTENT_AHEAD_SHARE)
		limit = room / CONTENT_AHEAD_SHARE;
	/* Without a disk chunks live in a ring of 16 MiB that all share. */
	if (!store_has_disk(c->store))
		limit = c->options->prefetch < CONTENT_AHEAD_NO_DISK
				? c->options->prefetch
				: CONTENT_AHEAD_NO_DISK;
	return limit;
}

static void record(struct content *c, const char *host, const char *object,
		   int error, const char *text, bool own)
{
	struct fault f = {.wall = clock_wall(), .error = error, .own = own};

	snprintf(f.host, sizeof(f.host), "%s", host);
	snprintf(f.object, sizeof(f.object), "%s", object);
	snprintf(f.text, sizeof(f.text), "%s", text);
	fault_record(c->faults, &f);
}

void content_fault(struct content *c, const char *host, const char *object,
		   int error, const char *text)
{
	record(c, host, object, error, text, false);
}

void content_note(struct content *c, const char *host, const char *object,
		  int error, const char *text)
{
	record(c, host, object, error, text, true);
}

static int add_new(struct string_list *l, const char *s)
{
	for (size_t i = 0; i < l->len; i++)
		if (strcmp(l->v[i], s) == 0)
			return 0;
	return string_list_add(l, s);
}

struct host_sink {
	struct content *content;
	struct string_list *list;
};

static int add_host_row(void *arg, const char *host)
{
	struct host_sink *k = arg;

	if (!content_may(k->content, host, ""))
		return 0;
	return add_new(k->list, host);
}

int content_hosts(struct content *c, struct string_list *ret)
{
	struct string_list known = {0};
	struct host_sink sink = {.content = c, .list = ret};
	int r;

	r = allow_known_hosts(c->allow, &known);
	if (r == 0)
		r = registries_list(c->registries, &known);
	for (size_t i = 0; i < known.len && r == 0; i++)
		r = add_host_row(&sink, known.v[i]);
	if (r == 0)
		r = host_each(c->store, add_host_row, &sink);
	string_list_done(&known);
	return r;
}

int content_hosts_listed(struct content *c, struct wait *w,
			 struct string_list *ret)
{
	struct string_list there = {0};
	struct host_sink sink = {.content = c, .list = ret};
	const char *mirror = c->options->mirror;
	int r = content_hosts(c, ret);

	if (r < 0 || !mirror || c->options->offline || c->options->nolist)
		return r;
	r = gate_enter(&c->gate, mirror);
	if (r == 0) {
		r = registries_mirrored(c->registries, w, &there);
		gate_leave(&c->gate, mirror);
	}
	/* Who does not list has the names that are known. */
	if (r != -ENOMEM && r != -EINTR)
		r = 0;
	for (size_t i = 0; i < there.len && r == 0; i++)
		r = add_host_row(&sink, there.v[i]);
	string_list_done(&there);
	return r;
}

/* --- texts --- */

static void print_bytes(struct str *out, const char *label, uint64_t bytes)
{
	char text[STR_BYTES_MAX];

	str_addf(out, "%s%s", label, str_bytes(bytes, text));
}

int content_print_status(struct content *c, struct str *out)
{
	struct string_list hosts = {0};
	struct store_stats st = {0};
	char since[32];
	int r;

	store_stats(c->store, &st);
	clock_format_rfc3339(c->started_wall, since);
	str_addf(out, "registryfs %s, mounted %s\n", PACKAGE_VERSION, since);
	str_addf(out, "source:    %s\n",
		 c->options->source ? c->options->source : "all hosts");
	str_addf(out, "mode:      %s%s, verify=%s\n",
		 c->options->read_only	    ? "read-only"
		 : c->options->allow_delete ? "read, write and delete"
					    : "read and write",
		 c->options->offline ? ", offline" : "",
		 c->options->verify == VERIFY_STRICT ? "strict" : "lazy");
	print_bytes(out, "cache:     ", st.bytes);
	print_bytes(out, " of ", st.size_bytes);
	str_addf(out, "%s, %llu blobs (%llu verified), %llu documents\n",
		 st.in_memory ? " (in memory only)" : "",
		 (unsigned long long)st.blobs,
		 (unsigned long long)st.verified_blobs,
		 (unsigned long long)st.documents);
	print_bytes(out,
		    "network:   ", (uint64_t)metric_get(METRIC_HTTP_BYTES_IN));
	str_addf(out, " in %lld requests, %lld retries, %lld given up\n",
		 (long long)metric_get(METRIC_HTTP_REQUESTS),
		 (long long)metric_get(METRIC_HTTP_RETRIES),
		 (long long)metric_get(METRIC_HTTP_FAILURES));
	str_addf(out, "waiting:   %lld requests; %zu downloads\n",
		 (long long)metric_get(METRIC_REQUESTS_WAITING),
		 flights_active(c->flights));
	str_addf(out, "errors:    %zu (see errors)\n",
		 fault_log_count(c->faults));
	str_addf(out, "hidden:    %lld names that are no valid grammar\n",
		 (long long)metric_get(METRIC_NAMES_HIDDEN));
	r = registries_list(c->registries, &hosts);
	for (size_t i = 0; i < hosts.len && r == 0; i++) {
		r = str_addf(out, "\n[%s]\n", hosts.v[i]);
		if (r == 0)
			r = content_print_host(c, hosts.v[i], out);
	}
	string_list_done(&hosts);
	return r;
}

static int print_hosts_json(struct content *c, struct str *out)
{
	struct string_list hosts = {0};
	struct registry *registry = NULL;
	int r;

	r = registries_list(c->registries, &hosts);
	for (size_t i = 0; i < hosts.len && r == 0; i++) {
		if (i > 0)
			r = str_addc(out, ',');
		if (r == 0)
			r = registries_get(c->registries, hosts.v[i],
					   &registry);
		if (r == 0)
			r = registry_print_json(registry, out);
	}
	string_list_done(&hosts);
	return r;
}

int content_print_status_json(struct content *c, struct str *out)
{
	struct store_stats st = {0};
	int r;

	store_stats(c->store, &st);
	str_add(out, "{\"version\":");
	json_add_string(out, PACKAGE_VERSION);
	str_add(out, ",\"source\":");
	if (c->options->source)
		json_add_string(out, c->options->source);
	else
		str_add(out, "null");
	str_addf(out, ",\"started\":%lld,\"offline\":%s,",
		 (long long)c->started_wall,
		 c->options->offline ? "true" : "false");
	str_addf(out,
		 "\"cache\":{\"bytes\":%llu,\"size\":%llu,\"room\":%llu,"
		 "\"evicted\":%llu,\"blobs\":%llu,"
		 "\"verified\":%llu,\"documents\":%llu,\"in_memory\":%s},",
		 (unsigned long long)st.bytes,
		 (unsigned long long)st.size_bytes,
		 (unsigned long long)store_room(c->store),
		 (unsigned long long)st.evicted_bytes,
		 (unsigned long long)st.blobs,
		 (unsigned long long)st.verified_blobs,
		 (unsigned long long)st.documents,
		 st.in_memory ? "true" : "false");
	str_addf(out, "\"downloads\":%zu,\"errors\":%zu,\"metrics\":",
		 flights_active(c->flights), fault_log_count(c->faults));
	r = metric_print_json(out);
	if (r == 0)
		r = str_add(out, ",\"hosts\":[");
	if (r == 0)
		r = print_hosts_json(c, out);
	if (r == 0)
		r = str_add(out, "]}\n");
	return r;
}

int content_print_transfers(struct content *c, struct str *out)
{
	return flights_print(c->flights, out);
}

int content_print_errors(struct content *c, struct str *out)
{
	return fault_log_print(c->faults, out);
}

int content_print_host(struct content *c, const char *host, struct str *out)
{
	struct registry *registry;
	int r;

	r = registries_get(c->registries, host, &registry);
	return r < 0 ? r : registry_print(registry, out);
}

void content_report(struct content *c, const char *host, const char *object,
		    int error, const char *text)
{
	content_fault(c, host, object, error, text);
}

int content_last_error(struct content *c, const char *host,
		       const char *repository, struct str *out)
{
	autofree char *prefix = str_printf("%s/", repository);
	struct fault f;
	int r;

	if (!prefix)
		return -ENOMEM;
	r = fault_log_last(c->faults, host, prefix, &f);
	return r < 0 ? r : str_add(out, f.text);
}
