/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An upload is one blob on its way into one repository.  Whoever wants the same
 * blob in the same place shares the work: there is one sending per repository
 * and digest, done by a worker thread (a few per host, the rest queue), which
 * asks whether it is there, tries a mount from a repository of that registry
 * that is known to hold it, and else sends it.  If the source of the one that
 * began it fails, the next one's is tried.
 *
 *   QUEUED -> RUNNING -> DONE (0: the registry has confirmed it; or -errno)
 *
 * Counted; any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "content/repo.h"
#include "oci/digest.h"
#include "push/feed.h"
#include "push/outbox.h"
#include "util/auto.h"
#include "util/wait.h"

struct upload;

/* Where the bytes are: a feed, or a blob of another repository, or nowhere
 * (both NULL): then the blob must be there or be mounted, else -ENOENT. */
struct upload_spec {
	struct repo *repo; /* where to */
	const struct digest *digest;
	struct feed *feed;
	struct repo *from;
	uint64_t size_bytes; /* with `from` */
	bool ahead; /* nobody waits yet: it goes on without its upload, but only
		       after those that somebody waits for */
};

/* Never waits. */
int upload_begin(struct outbox *o, const struct upload_spec *s,
		 struct upload **ret);
struct upload *upload_ref(struct upload *u);
/* The last one out cancels it, but for those begun ahead.  NULL is fine. */
void upload_unref(struct upload *u);
AUTOPTR_DEFINE(upload, upload_unref)
/*
 * 0: confirmed, and recorded as such (content/known.h).  The wait's deadline is
 * moved while bytes go out (option_times.commit_budget).  Errors as of
 * push_blob; -EBADMSG: the bytes are not what the digest says.
 */
int upload_wait(struct upload *u, struct wait *w);
bool upload_done(const struct upload *u, int *ret_result); /* never waits */

/* Begins to send all other blobs of the image that the source shows, ahead: a
 * recursive copy will ask for them next. */
struct image;
void upload_siblings(struct outbox *o, struct repo *to, struct image *from);
/* Those begun ahead for this repository that nobody came for are cancelled. */
void upload_forget_ahead(struct outbox *o, struct repo *to);
