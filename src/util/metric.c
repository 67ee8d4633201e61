/* SPDX-License-Identifier: Apache-2.0 */
/* A new metric is a new enumerator and a new row here. */
#include "util/metric.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>

static const struct row {
	const char *name;
	const char *help;
	bool is_gauge;
} rows[] = {
#define COUNTER(m, name, help) [m] = {name, help, false}
#define GAUGE(m, name, help) [m] = {name, help, true}
	COUNTER(METRIC_HTTP_REQUESTS, "http_requests", "HTTP requests sent"),
	COUNTER(METRIC_HTTP_RETRIES, "http_retries",
		"HTTP requests sent again"),
	COUNTER(METRIC_HTTP_FAILURES, "http_failures",
		"HTTP requests given up"),
	COUNTER(METRIC_HTTP_BYTES_IN, "http_bytes_in",
		"Body bytes received over HTTP"),
	COUNTER(METRIC_HTTP_BYTES_OUT, "http_bytes_out",
		"Body bytes sent over HTTP"),
	COUNTER(METRIC_HTTP_CONNECTIONS, "http_connections",
		"HTTP connections opened"),
	COUNTER(METRIC_TOKENS_FETCHED, "tokens_fetched",
		"Tokens got from token servers"),
	COUNTER(METRIC_MANIFEST_GETS, "manifest_gets",
		"Manifests got, which rate limits count"),
	COUNTER(METRIC_RANGE_REQUESTS, "range_requests",
		"Ranges of blobs asked for"),
	COUNTER(METRIC_CHUNKS_FETCHED, "chunks_fetched",
		"Chunks of blobs fetched"),
	COUNTER(METRIC_CHUNK_HITS, "chunk_hits", "Reads served from the cache"),
	COUNTER(METRIC_BLOBS_VERIFIED, "blobs_verified",
		"Blobs whose digest was found right"),
	COUNTER(METRIC_LAYER_PASSES, "layer_passes",
		"Layers read from end to end to index them"),
	COUNTER(METRIC_LAYER_BYTES, "layer_bytes",
		"Bytes decoded from layers to index them"),
	COUNTER(METRIC_DIGEST_MISMATCHES, "digest_mismatches",
		"Objects whose digest was found wrong"),
	COUNTER(METRIC_EVICTED_BYTES, "evicted_bytes",
		"Bytes removed from the cache"),
	GAUGE(METRIC_CACHE_BYTES, "cache_bytes", "Bytes in the cache"),
	COUNTER(METRIC_NAMES_HIDDEN, "names_hidden",
		"Names from registries that are not valid"),
	GAUGE(METRIC_NODES, "nodes", "Inodes that the kernel knows"),
	GAUGE(METRIC_REQUESTS_WAITING, "requests_waiting",
	      "FUSE requests waiting for a network"),
	COUNTER(METRIC_FUSE_REQUESTS, "fuse_requests",
		"FUSE requests received"),
	COUNTER(METRIC_FUSE_ERRORS, "fuse_errors",
		"FUSE requests answered with an error"),
};
_Static_assert(sizeof(rows) / sizeof(*rows) == METRIC_COUNT,
	       "every metric has its row");

static _Atomic int64_t values[METRIC_COUNT];

void metric_add(enum metric m, int64_t delta)
{
	atomic_fetch_add_explicit(&values[m], delta, memory_order_relaxed);
}

void metric_set(enum metric m, int64_t value)
{
	atomic_store_explicit(&values[m], value, memory_order_relaxed);
}

int64_t metric_get(enum metric m)
{
	return atomic_load_explicit(&values[m], memory_order_relaxed);
}

static int print_row(enum metric m, struct str *out)
{
	const struct row *row = &rows[m];

	return str_addf(out,
			"# TYPE registryfs_%s %s\n"
			"# HELP registryfs_%s %s.\n"
			"registryfs_%s%s %" PRId64 "\n",
			row->name, row->is_gauge ? "gauge" : "counter",
			row->name, row->help, row->name,
			row->is_gauge ? "" : "_total", metric_get(m));
}

int metric_print_openmetrics(struct str *out)
{
	size_t before = out->len;
	int r = 0;

	for (int m = 0; r == 0 && m < METRIC_COUNT; m++)
		r = print_row((enum metric)m, out);
	if (r == 0)
		r = str_add(out, "# EOF\n");
	if (r < 0)
		str_truncate(out, before);
	return r;
}

int metric_print_json(struct str *out)
{
	size_t before = out->len;
	int r = 0;

	for (int m = 0; r == 0 && m < METRIC_COUNT; m++)
		r = str_addf(out, "%s\"%s\":%" PRId64, m ? "," : "{",
			     rows[m].name, metric_get((enum metric)m));
	if (r == 0)
		r = str_addc(out, '}');
	if (r < 0)
		str_truncate(out, before);
	return r;
}
