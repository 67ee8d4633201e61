/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Images that were acknowledged while something they reference was missing:
 * recorded in the journal, finished when the last missing blob arrives,
 * listed in `.registryfs/pending` till then.  Survive the process.  Any thread.
 */
#include "config/stringlist.h"
#include "push/publish.h"

struct pendings; /* owned by the outbox */

int pendings_new(struct outbox *o, struct pendings **ret);
void pendings_free(struct pendings *p);
/* Reads the journal; then one thread tries each of them. */
int pendings_start(struct pendings *p);
size_t pendings_count(struct pendings *p);

/* Durable on return.  Older ones of the same name are replaced.  Asks the
 * registry what the name means now. */
int pending_add(const struct publication *p, const struct string_list *missing,
		const struct publish_docs *docs);
/*
 * A blob or document has arrived in this repository (`feed`: its bytes, if it
 * is a document at hand; else NULL): pending images that have waited for it,
 * and for nothing else, are published now.  0: there was none, or all went
 * well; else how it failed.
 */
int pending_poke(struct outbox *o, struct repo *r, const struct digest *d,
		 struct feed *feed, struct wait *w);
/* Tries all of this name now.  0: none left; -EIO: something is missing (and
 * recorded); or why the registry refused. */
int pending_sync(struct outbox *o, struct repo *r, const char *name,
		 struct wait *w);
/* Forgets those of this name, or (pending_drop) the one shown as `entry`; one
 * that is just being put is waited for.  Not for who is in the name's turn. */
void pending_forget(struct outbox *o, struct repo *r, const char *name);
int pending_drop(struct outbox *o, const char *entry);

/* Names for `.registryfs/pending`, one for each, unique and stable. */
int pending_names(struct outbox *o, struct string_list *ret);
/* What one of them is, since when, what is missing, how it failed; -ENOENT. */
int pending_print(struct outbox *o, const char *entry, struct str *out);
