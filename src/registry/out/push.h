/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Sending a blob (distribution-spec "Pushing blobs"; registries.md A.4, D): can
 * it be mounted from another repository, is it there already, else an upload
 * session in the form that the registry takes: the whole in one PUT, one
 * streamed PATCH, or chunks within its limits.  A cut is resumed where the
 * registry says it stands, else a new session begins, up to three times.
 * Nothing is committed that `check` has not approved.  Any thread; waits for
 * the network and for the source.
 *
 * The wait's deadline is moved while bytes go out: what counts is patience
 * without progress (option_times.commit_budget).
 * Errors are those of registry/wire/fault.h: EACCES, ENOENT (no such
 * repository), EDQUOT, EROFS, EFBIG, EPERM, EIO, ETIMEDOUT ...; what source and
 * check return is passed on as it is.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "oci/digest.h"
#include "registry/registry.h"

#define PUSH_SIZE_UNKNOWN UINT64_MAX

/* Where the bytes come from; all are called from push_blob's own thread. */
struct push_source {
	void *arg;
	/* At least one byte from `off`, waiting for what is still being
	 * written; 0: the end.  Earlier offsets may be asked for again. */
	ssize_t (*read)(void *arg, void *buf, size_t len, uint64_t off,
			struct wait *w);
	/* PUSH_SIZE_UNKNOWN while it is still growing. */
	uint64_t (*size)(void *arg);
	/* After the end was read, before the commit: is it what the digest
	 * says?  NULL: the registry's check will do. */
	int (*check)(void *arg, struct wait *w);
	/* Bytes [0, sent) are with the registry; may go back.  Or NULL. */
	void (*progress)(void *arg, uint64_t sent);
	/* A session was opened (its URL, a secret) or is over (NULL): what has
	 * to be cancelled should the process die.  Or NULL. */
	void (*session)(void *arg, const char *url);
};

enum push_result {
	PUSH_PRESENT, /* it was there */
	PUSH_MOUNTED, /* no byte was sent */
	PUSH_UPLOADED,
};

struct push_spec {
	const char *repository;
	const struct digest *digest;
	bool is_absent;	  /* a HEAD has just said so: not asked again */
	const char *from; /* a repository of the same registry that holds it, or
			     NULL */
	const struct push_source *source; /* NULL: upload nothing, -ENOENT */
};

int push_blob(struct registry *r, const struct push_spec *s, struct wait *w,
	      enum push_result *ret);
/* DELETE of a session that was left behind; failure is no news. */
void push_cancel(struct registry *r, const char *repository, const char *url,
		 struct wait *w);
