/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What must survive: images whose index.json was acknowledged while something
 * they reference was still missing, with their manifests; and upload sessions
 * that are open at registries.  DIR/journal.db, a SQLite file of its own,
 * synchronous=FULL: whoever got 0 may rely on it after a power cut.
 * Unlike the cache's database it is never set aside: one that is damaged, of
 * another version or on a disk that cannot be written makes the mount refuse to
 * write (-EROFS) and is left as it is.  On a disk that is full a call fails
 * with -ENOSPC, and the next one may not.  Any thread.
 */
#include <stddef.h>
#include <stdint.h>

#include "oci/digest.h"
#include "store/store.h"

struct journal;

/* Always gives a journal, be it one that refuses all writing (why is logged).
 * -ENOMEM.  The store must outlive it. */
int journal_open(struct store *s, struct journal **ret);
void journal_close(struct journal *j);
/* 0, or nothing can be written: -EROFS, or -ENOSPC if its disk was full when it
 * was to be opened; *ret_why (may be NULL) lives as long as the journal. */
int journal_check(struct journal *j, const char **ret_why);

/* --- pending images --- */
/* What the name meant when the image was acknowledged. */
enum journal_before {
	JOURNAL_BEFORE_UNKNOWN,
	JOURNAL_BEFORE_NOTHING,
	JOURNAL_BEFORE_IMAGE
};
struct journal_image {
	int64_t id;
	const char *host, *repository;
	const char *name;      /* tag, or digest text */
	struct digest root;    /* what is to be published */
	const char *mediatype; /* of the root */
	enum journal_before before;
	struct digest was; /* with JOURNAL_BEFORE_IMAGE */
	int64_t wall;	   /* since when */
	int error;	   /* 0, or the errno (positive) of its last try */
	const char *text;  /* why; "" */
	/* Where it was copied from; both NULL: from nowhere that is known. */
	const char *from_host, *from_repository;
};
struct journal_document {
	struct digest digest;
	const char *mediatype;
	const void *bytes;
	size_t len;
};
/* One transaction, durable on return: the image and the documents it needs that
 * no registry has yet.  id is ignored; *ret_id. */
int journal_add(struct journal *j, const struct journal_image *image,
		const struct journal_document *docs, size_t docs_len,
		int64_t *ret_id);
/* Another document of a pending image. */
int journal_add_document(struct journal *j, int64_t id,
			 const struct journal_document *doc);
int journal_note(struct journal *j, int64_t id, int error, const char *text);
int journal_remove(struct journal *j, int64_t id); /* with its documents */
/* By age.  Stops on non-zero and returns it; must not call the journal. */
typedef int (*journal_each_image)(void *arg, const struct journal_image *i);
int journal_images(struct journal *j, journal_each_image each, void *arg);
typedef int (*journal_each_document)(void *arg,
				     const struct journal_document *d);
int journal_documents(struct journal *j, int64_t id, journal_each_document each,
		      void *arg);

/* --- upload sessions; not worth an fsync --- */
int journal_session_open(struct journal *j, const char *host,
			 const char *repository, const char *url,
			 int64_t *ret_id);
int journal_session_over(struct journal *j, int64_t id);
/* Those of an earlier run; they are forgotten by this. */
typedef int (*journal_each_session)(void *arg, const char *host,
				    const char *repository, const char *url);
int journal_take_sessions(struct journal *j, journal_each_session each,
			  void *arg);
