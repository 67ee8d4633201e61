/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one table from foreign failures to errno, the one log line, and the ring
 * of recent failures behind .registryfs/errors.  errno policy (also printed in
 * registryfs.1):
 *   ENOENT the registry said so in so many words (404 with an OCI error body or
 *   from a registry known to answer; never a proxy's HTML page: EIO);
 *   EACCES 401 after a fresh token, 403; EPERM off the allow list; EIO remote
 *   failed or broke protocol; EBADMSG digest mismatch; ETIMEDOUT budget spent,
 *   429 included; ECONNREFUSED; EHOSTUNREACH DNS, no route; EINTR caller dying;
 *   EFBIG document too large; ENETDOWN offline and not cached.
 * Of what changes something: EPERM also an immutable tag; EDQUOT a quota of the
 * registry's; EROFS it does not take this (405, UNSUPPORTED); EFBIG 413; EINVAL
 * a name or manifest that it calls invalid; ENOENT also what a manifest names
 * and the registry does not have.
 * Any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"
#include "util/str.h"

#define FAULT_TEXT_MAX 512
#define FAULT_RING 128

struct fault {
	int64_t wall;	  /* seconds since 1970 */
	int error;	  /* errno, positive */
	int status;	  /* HTTP status or 0 */
	bool own;	  /* our own refusal: nobody was asked */
	char host[256];	  /* registry, as named in the tree */
	char object[320]; /* as a mount shows it: "team/app/_tags/1.4" */
	char text[FAULT_TEXT_MAX]; /* what the registry said, or why it failed
				    */
};

struct fault_log;
int fault_log_new(struct fault_log **ret);
void fault_log_free(struct fault_log *l);
/* Records and logs (one line, escaped).  Repeats of the same host, object and
 * error within 5 s are counted, not logged again.  Of our own refusals only
 * the last FAULT_OWN are kept, and the log has them at the level info: whoever
 * walks through a tree makes many. */
#define FAULT_OWN 16
void fault_record(struct fault_log *l, const struct fault *f);
/* Oldest first, one line each: TIME ERRNO STATUS HOST/OBJECT: TEXT. */
int fault_log_print(struct fault_log *l, struct str *out);
size_t fault_log_count(struct fault_log *l); /* recorded since start */
/* The last failure on this host and object prefix; 0 or -ENOENT. */
int fault_log_last(struct fault_log *l, const char *host, const char *object,
		   struct fault *ret);

/* -errno for an HTTP status given the first OCI error code ("" if none). */
int fault_from_status(int status, const char *code);
int fault_from_fail(enum http_fail fail);
/* First error's code and message of an OCI error body (any rubbish is fine):
 * "MANIFEST_UNKNOWN", "manifest unknown"; "" where there is none. */
void fault_parse_body(const char *body, size_t len, char code[64],
		      char text[FAULT_TEXT_MAX]);
