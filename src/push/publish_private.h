/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The steps of a publication: what it needs, its blobs, its documents, and
 * what refers to it.  For this folder only. */
#include "content/repo.h"
#include "push/publish.h"
#include "util/vec.h"

#define CLOSURE_DOCUMENTS_MAX ((size_t)2 * MANIFEST_CHILDREN_MAX)
#define CLOSURE_BYTES_MAX ((size_t)32 << 20) /* of all documents */
#define CLOSURE_BLOBS_MAX ((size_t)20000)
#define REFERRAL_DEPTH_MAX 3
#define REFERRAL_MAX 200

struct doc;
struct map;

struct closure_doc {
	const struct manifest *m;
	struct manifest *own; /* m, if it was parsed here */
	struct doc *doc;      /* m's, if it came from a registry */
	unsigned height;      /* 0: no document beneath it is put */
	bool put; /* has to be put, and what it references is here */
};

struct closure_blob {
	const struct descriptor *d; /* in a document of the closure */
	struct feed *feed;	    /* its bytes, if they are at hand */
};

struct closure {
	VEC(struct closure_doc) docs; /* by height: the root is the last */
	VEC(struct closure_blob) blobs;
	struct string_list missing; /* digests */
};

struct closure_source {
	const struct publication *p;
	/* Documents at hand besides what p->find gives, or NULL; must outlive
	 * the closure. */
	const struct publish_docs *have;
	struct repo
		*from; /* all comes from there, nothing from find; or NULL */
	/* What the registry is only believed to have is put and asked for
	 * again. */
	bool strict;
};

/* 0 also if documents are missing; -EBADMSG, -EINVAL, -EFBIG, -ELOOP recorded.
 */
int closure_walk(const struct closure_source *s, struct wait *w,
		 struct closure *ret);
void closure_done(struct closure *c);

/* publish() with documents that are not files (`have` may be NULL).  *ret_docs
 * gets what is not in `have`.  1: the image is there, not all of its referrers.
 */
int publish_with(const struct publication *p, const struct publish_docs *have,
		 struct wait *w, struct string_list *missing,
		 struct publish_docs *ret_docs);
/* Sees to it that all blobs are there; those that cannot be had are added to
 * c->missing. */
int publish_blobs(const struct closure_source *s, struct closure *c,
		  struct wait *w);
/* Puts the documents, children first, then the root under p->name, if it is
 * wanted. */
int publish_put(const struct closure_source *s, const struct closure *c,
		struct wait *w);
/* The referrers of all documents of the closure, from p->from. */
int referral_copy(const struct publication *p, const struct closure *c,
		  struct wait *w);

/* Something went well: the patience begins anew. */
void publish_progress(const struct publication *p, struct wait *w);

#define PUBLISH_OBJECT_MAX 512
/* "team/app/_tags/1.4", by what the name is. */
void publish_object(struct repo *r, const char *name,
		    char out[PUBLISH_OBJECT_MAX]);
/* The same of a manifest. */
void publish_object_digest(struct repo *r, const struct digest *d,
			   char out[PUBLISH_OBJECT_MAX]);
