/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The outbox: all that is on its way from this mount to registries.  Owns the
 * uploads, the images being written (drafts), those that were acknowledged and
 * are still incomplete (pending), and the threads that work on them.  Any
 * thread; what takes a `struct wait` may wait for the network.
 */
#include <stdbool.h>
#include <stddef.h>

#include "config/options.h"
#include "content/content.h"
#include "content/repo.h"
#include "store/journal.h"
#include "store/store.h"
#include "util/str.h"

struct outbox;

/* All must outlive the outbox. */
struct outbox_config {
	const struct options *options;
	struct content *content;
	struct store *store;
	struct journal *journal;
};

int outbox_new(const struct outbox_config *cfg, struct outbox **ret);
/* Cancels and joins what is under way; pending images stay in the journal. */
void outbox_free(struct outbox *o);
/* After daemonising: cancels the sessions that an earlier run left at
 * registries, and tries its pending images again, in the background. */
int outbox_start(struct outbox *o);

/* 0; -EROFS: mounted ro, or the journal or the store cannot be written
 * (-ENOSPC: their disk was too full to open them); -ENETDOWN: offline; -EPERM:
 * off the allow list; -ESHUTDOWN: draining. */
int outbox_writable(struct outbox *o, struct repo *r);
/* From now on nothing new is begun; what is under way goes on. */
void outbox_drain(struct outbox *o);
/* Is anything under way: an open writer with data, an upload, a publication? */
bool outbox_busy(struct outbox *o);
/* Acknowledged, and not with the registry: pending images. */
size_t outbox_unfinished(struct outbox *o);

/* Told after a name changed through this mount, from any thread, with no lock
 * held: `name` is a tag, or a digest's text.  Set before anything is written.
 */
struct outbox_listener {
	void (*changed)(void *arg, const char *host, const char *repository,
			const char *name);
	void *arg;
};
void outbox_listen(struct outbox *o, const struct outbox_listener *l);

/* `.registryfs`: what is going out, one line each with bytes, rate and what is
 * left; the counts for status and status.json ("outgoing":{…}). */
int outbox_print_transfers(struct outbox *o, struct str *out);
int outbox_print_status(struct outbox *o, struct str *out);
int outbox_print_json(struct outbox *o, struct str *out);
