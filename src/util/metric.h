/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Process-wide counters and gauges, one enum, one const table with names and
 * help; printed as OpenMetrics text or as JSON members.  Lock free.
 */
#include <stdint.h>

#include "util/str.h"

enum metric {
	METRIC_HTTP_REQUESTS, /* sent to anybody */
	METRIC_HTTP_RETRIES,
	METRIC_HTTP_FAILURES,	 /* given up */
	METRIC_HTTP_BYTES_IN,	 /* body bytes received */
	METRIC_HTTP_BYTES_OUT,	 /* body bytes sent */
	METRIC_HTTP_CONNECTIONS, /* opened */
	METRIC_TOKENS_FETCHED,
	METRIC_MANIFEST_GETS, /* what rate limits count */
	METRIC_RANGE_REQUESTS,
	METRIC_CHUNKS_FETCHED,
	METRIC_CHUNK_HITS, /* reads served from the cache */
	METRIC_BLOBS_VERIFIED,
	METRIC_LAYER_PASSES, /* layers read from end to end */
	METRIC_LAYER_BYTES,  /* decoded by them */
	METRIC_DIGEST_MISMATCHES,
	METRIC_EVICTED_BYTES,
	METRIC_CACHE_BYTES,  /* gauge */
	METRIC_NAMES_HIDDEN, /* names from a registry that are no valid grammar
			      */
	METRIC_NODES,	     /* gauge: inodes the kernel knows */
	METRIC_REQUESTS_WAITING, /* gauge: FUSE requests waiting for a network
				  */
	METRIC_FUSE_REQUESTS,
	METRIC_FUSE_ERRORS,
	METRIC_COUNT
};

void metric_add(enum metric m, int64_t delta);
void metric_set(enum metric m, int64_t value);
int64_t metric_get(enum metric m);
int metric_print_openmetrics(struct str *out);
int metric_print_json(struct str *out); /* {"http_requests":1,...} */
