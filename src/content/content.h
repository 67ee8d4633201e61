/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The face that the filesystem sees: hosts, repositories, images and blobs as
 * objects that are read through the cache.  The only place where the registry
 * client and the store meet.  Any thread; what takes a `struct wait` may wait
 * for the network.
 */
#include <stdbool.h>
#include <stdint.h>

#include "config/allow.h"
#include "config/options.h"
#include "registry/registry.h"
#include "store/store.h"
#include "util/str.h"
#include "util/wait.h"

struct content;

/* All must outlive the content. */
struct content_config {
	const struct options *options;
	struct registries *registries;
	struct store *store;
	struct allow *allow;
	struct fault_log *faults;
};

int content_new(const struct content_config *cfg, struct content **ret);
/* Cancels and joins downloads.  Nothing else may be open any more. */
void content_free(struct content *c);

/*
 * -EPERM: off the allow list, recorded.  `path` is "" for the host itself, else
 * a repository or the way to one.
 */
int content_allowed(struct content *c, const char *host, const char *path);
/* The same as a mere question. */
bool content_may(struct content *c, const char *host, const char *path);
/* Hosts that can be named without asking: configured, seen, met. */
int content_hosts(struct content *c, struct string_list *ret);
/* The same, and with `mirror` those of which it has something. */
int content_hosts_listed(struct content *c, struct wait *w,
			 struct string_list *ret);

/* As registries_place. */
int content_place(struct content *c, const char *host, char **ret);

/* Bytes of read-ahead a reader may have now: little while the store has no
 * disk to put it on. */
uint64_t content_ahead_limit(struct content *c);

/* `.registryfs/`: each adds one text; none touches the network. */
int content_print_status(struct content *c, struct str *out);
int content_print_status_json(struct content *c, struct str *out);
int content_print_transfers(struct content *c, struct str *out);
int content_print_errors(struct content *c, struct str *out);
int content_print_host(struct content *c, const char *host, struct str *out);
/* Records a failure that no registry told: one line in `.registryfs/errors` and
 * the log.  `object` as the mount shows it beneath the host; error positive. */
void content_report(struct content *c, const char *host, const char *object,
		    int error, const char *text);
/* The same of what we refuse by ourselves. */
void content_note(struct content *c, const char *host, const char *object,
		  int error, const char *text);
/* What the last failure in this repository was; -ENOENT if there was none. */
int content_last_error(struct content *c, const char *host,
		       const char *repository, struct str *out);
