/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Warming one mount: tasks in phases, each worked off by a few threads before
 * the next begins.  All that is to be kept is read through the mount, past the
 * kernel's own cache, so that the daemon sees every read.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/mounted.h"
#include "oci/digest.h"
#include "oci/platform.h"
#include "util/map.h"
#include "util/vec.h"

enum warm_phase {
	WARM_PLAN,  /* what there is to fetch: manifests, lists */
	WARM_FETCH, /* bytes; of layers, the index of each */
	WARM_MERGE, /* what needs several layers: root file systems */
	WARM_PHASES
};

struct warm;

struct warm_task {
	/* 0, or -errno: why the path cannot be warmed. */
	int (*run)(struct warm *w, const struct warm_task *t);
	char *path;
	char *layer;	/* WARM_FETCH of a layer: where its index is; or NULL */
	uint64_t bytes; /* WARM_FETCH of a blob */
};

struct warm_config {
	const struct platform *platforms; /* none: all */
	size_t platforms_len;
	bool referrers, quiet;
};

struct warm {
	/* Constant. */
	const struct warm_config *config;
	const struct mounted *mount;
	uint64_t bytes_before, evicted_before; /* of the cache */
	bool terminal;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* All below protected by lock. */
	VEC(struct warm_task) tasks[WARM_PHASES];
	enum warm_phase phase;
	unsigned running;
	bool stop;
	struct map *seen;
	size_t failed;
	size_t blobs, blobs_done; /* files, too */
	uint64_t bytes, bytes_done;
	uint64_t need_bytes; /* of different blobs, wherever they are named */
};

/* 0, or 2 if something could not be warmed: that was said on stderr. */
int warm_run(const struct warm_config *config, const struct mounted *mount,
	     char *const *paths, size_t len);

/* --- for tasks --- */

/* Copies the path and the layer. */
int warm_push(struct warm *w, enum warm_phase phase, const struct warm_task *t);
/* Is it the first time that anybody asks this? */
bool warm_first(struct warm *w, const char *key);
/* Says so; `text` NULL: what the errno means. */
void warm_fail(struct warm *w, const char *path, int r, const char *text);
/* Something more was found, or done. */
void warm_found(struct warm *w, uint64_t bytes);
void warm_did(struct warm *w, uint64_t bytes);
void warm_did_one(struct warm *w);
bool warm_stopped(struct warm *w);

/* warm_plan.c: a path, and what it stands for */
int warm_plan(struct warm *w, const struct warm_task *t);
/* warm_fetch.c */
int warm_blob(struct warm *w, const struct warm_task *t);
/* All files beneath a directory inside a layer, or a file. */
int warm_tree(struct warm *w, const struct warm_task *t);
/* The index of a layer or root file system. */
int warm_index(struct warm *w, const struct warm_task *t);
/* A file to its end. */
int warm_read(struct warm *w, const char *path, bool counts);
