/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is remembered besides blob data, one table family per section.  All
 * take the database lock for a moment; none is called in a READ.  Failures of
 * the database are logged once here and are -EIO; "not there" is -ENOENT.
 * Nothing here asks whether the caller may see it, but for the grants: whoever
 * serves an object to a repository checks grant_has first.
 */
#include <stdbool.h>
#include <stdint.h>

#include "oci/digest.h"
#include "oci/mediatype.h"
#include "store/store.h"

/* --- documents: manifests and other small JSON, by digest (verified) --- */
int document_put(struct store *s, const struct digest *d, const char *mediatype,
		 const void *bytes, size_t len);
/* Caller frees; *ret_mediatype likewise (may be NULL). */
int document_get(struct store *s, const struct digest *d, char **ret_mediatype,
		 char **ret, size_t *ret_len);

/* The digests of all, oldest first.  Stops on non-zero and returns it; must not
 * call the store. */
typedef int (*document_each_fn)(void *arg, const struct digest *d);
int document_each(struct store *s, document_each_fn each, void *arg);

/* --- tags: what a tag named when it was last asked --- */
struct tag_row {
	struct digest digest;
	char mediatype[MEDIATYPE_MAX + 1];
	uint64_t size_bytes;
	int64_t wall; /* when */
};
int tag_put(struct store *s, const char *host, const char *repository,
	    const char *identity, const char *tag, const struct tag_row *row);
int tag_get(struct store *s, const char *host, const char *repository,
	    const char *identity, const char *tag, struct tag_row *ret);
int tag_forget(struct store *s, const char *host, const char *repository,
	       const char *tag);
/* All tags of the repository that name it. */
int tag_forget_digest(struct store *s, const char *host, const char *repository,
		      const struct digest *d);
/* Calls with each tag's name; stops on a non-zero return and returns it.  The
 * callback must not call the store. */
typedef int (*row_each)(void *arg, const char *name);
int tag_each(struct store *s, const char *host, const char *repository,
	     const char *identity, row_each each, void *arg);

/* --- hosts and repositories that were seen --- */
int repository_seen(struct store *s, const char *host, const char *repository);
int repository_each(struct store *s, const char *host, row_each each,
		    void *arg);
int host_each(struct store *s, row_each each, void *arg);

/* --- grants: this registry gave us this digest in this repository, with
 *     this identity --- */
enum grant_kind {
	GRANT_BLOB,
	GRANT_MANIFEST,
	GRANT_CLAIM /* a blob, of the size that some document gives it */
};
struct grant_row {
	struct digest digest;
	enum grant_kind kind;
	uint64_t size_bytes;
};
int grant_put(struct store *s, const char *host, const char *repository,
	      const char *identity, const struct grant_row *row);
bool grant_has(struct store *s, const char *host, const char *repository,
	       const char *identity, const struct digest *d,
	       struct grant_row *ret /* or NULL */);
int grant_forget(struct store *s, const char *host, const char *repository,
		 const struct digest *d);
/* All repositories of the host that are known to hold this blob, newest first,
 * with whose identity; at most `max`.  Stops on non-zero and returns it. */
typedef int (*grant_holder_fn)(void *arg, const char *repository,
			       const char *identity);
int grant_holders(struct store *s, const char *host, const struct digest *d,
		  unsigned max, grant_holder_fn each, void *arg);
typedef int (*grant_each_fn)(void *arg, const struct grant_row *row);
int grant_each(struct store *s, const char *host, const char *repository,
	       const char *identity, enum grant_kind kind, grant_each_fn each,
	       void *arg);

/* --- lists: JSON answers kept by key, e.g. referrers of a digest --- */
int list_put(struct store *s, const char *key, const void *bytes, size_t len);
int list_get(struct store *s, const char *key, int64_t *ret_wall, char **ret,
	     size_t *ret_len);
