/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Publishing: from the document that an image begins with to a name in a
 * registry.  Walks what it references (depth, count and size bounded as in
 * oci/manifest.h), sees to it that every blob is there (present, mounted, or
 * uploaded from what is at hand), puts the manifests, children first, and last
 * the root under its name; then maintains the referrers of its subject and
 * tells the rest of the mount.  Foreign layers (urls) are copied as
 * descriptors.  All or nothing: the name means the old image until the last
 * step.
 */
#include "config/stringlist.h"
#include "oci/descriptor.h"
#include "oci/manifest.h"
#include "push/feed.h"
#include "push/outbox.h"
#include "util/wait.h"

struct publication {
	struct outbox *outbox;
	struct repo *repo;
	const char *name; /* tag, or digest text: then the root must be it */
	const struct digest *root;
	const char *mediatype; /* of the root, "" if not known */
	/* What the writer has at hand, by digest; -ENOENT: not that one.  Else
	 * the registry is asked for manifests, and blobs have to be there. */
	int (*find)(void *arg, const struct digest *d, struct feed **ret);
	void *arg;
	/* Asked at the last moment, nobody else being about to change the name:
	 * not 0 is the result, and the root is not put.  NULL: it is wanted. */
	int (*wanted)(void *arg, struct wait *w);
	/* It was put, likewise.  NULL: what is pending under this name is
	 * history. */
	void (*settled)(void *arg);
	void *owner;	   /* the argument of both */
	struct repo *from; /* where the image was copied from, or NULL: its
			      referrers go along with -o copy_referrers */
};
/*
 * 0: the registry has it.  -EAGAIN: `missing` (digest texts) lists what is
 * neither at hand nor there.  Other errors: nothing was published.
 * *ret_docs (may be NULL): the documents of the closure that are at hand, for
 * the journal, when -EAGAIN.
 */
struct publish_docs {
	struct manifest **v;
	size_t len;
};
void publish_docs_done(struct publish_docs *d);
int publish(const struct publication *p, struct wait *w,
	    struct string_list *missing, struct publish_docs *ret_docs);

/*
 * What a newly written index.json means for a directory of this name.  `old` is
 * the index.json that was there before (NULL: none).  *ret_root is a copy; with
 * *ret_itself the bytes of the file are the index to push.
 * -ENODATA: it lists nothing (yet); -EINVAL with the reason.
 */
int publish_choose(const char *bytes, size_t len, const char *old,
		   size_t old_len, const char *name,
		   struct descriptor *ret_root, bool *ret_itself,
		   struct str *why);
