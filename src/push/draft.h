/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A draft is an image directory being written: what has been put into it and is
 * not (yet) what the registry shows under that name.  Paths are relative to the
 * image directory: "index.json", "blobs/sha256/6c1f…", ".tmp/x".  Files may
 * come in any order and under temporary names; each is committed by its
 * writer's flush or by a rename to its real name.  Two writers of one name do
 * not disturb each other: each has bytes of its own until it commits.
 * There is at most one draft per repository and name; it is gone when it is
 * empty or was published.  Counted; any thread.
 *
 * Names: blobs/ALG/HEX is a blob or manifest and must be what it says;
 * index.json and manifest.json (as a file) publish; oci-layout, and the views
 * (config.json, layers/, platforms/, referrers/, rootfs, history) are accepted
 * and mean nothing; any other file, and directories beginning with a dot, are
 * the writer's own until they are renamed.  Other directories: -EPERM.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "content/repo.h"
#include "push/feed.h"
#include "push/outbox.h"
#include "push/writer.h"
#include "util/auto.h"
#include "util/str.h"
#include "util/wait.h"

#define DRAFT_PATH_MAX 4096
/* Instead of an image's name: the files on their way into the repository's
 * `_blobs`, all of them the writers' own till draft_push. */
#define DRAFT_BLOBS "_blobs"
#define DRAFT_ENTRIES_MAX 20000 /* of one draft; more are -ENOSPC */

struct draft;

/* Found, or begun: `name` is a tag or a digest's text.  Errors of
 * outbox_writable; -ENOSPC: too many.  What nobody has used for a day is
 * forgotten. */
int draft_open(struct outbox *o, struct repo *r, const char *name,
	       struct draft **ret);
/* -ENOENT: nobody writes it. */
int draft_find(struct outbox *o, struct repo *r, const char *name,
	       struct draft **ret);
struct draft *draft_ref(struct draft *d);
void draft_unref(struct draft *d);
AUTOPTR_DEFINE(draft, draft_unref)
/* Names being written in this repository that are not published yet. */
typedef int (*draft_each_name)(void *arg, const char *name, mode_t type);
int draft_names(struct outbox *o, struct repo *r, draft_each_name each,
		void *arg);

struct draft_stat {
	mode_t type; /* S_IFDIR S_IFREG S_IFLNK */
	uint64_t size_bytes;
	struct timespec mtime;
	uint64_t number; /* of this file; never used again */
};
/* "" is the directory itself, which is always there.  -ENOENT. */
int draft_stat(struct draft *d, const char *path, struct draft_stat *ret);
int draft_list(struct draft *d, const char *path, draft_each_name each,
	       void *arg); /* what is directly beneath */
int draft_readlink(struct draft *d, const char *path, struct str *out);
/* The bytes of a committed file, for reading; -ENODATA: the registry has them
 * (a blob that was confirmed). */
int draft_read(struct draft *d, const char *path, struct feed **ret);

int draft_mkdir(struct draft *d, const char *path, pid_t tid);
int draft_symlink(struct draft *d, const char *path, const char *target);
int draft_link(struct draft *d, const char *from, const char *to,
	       struct wait *w);
/* -ENOENT: not of the draft (whatever the published image has).  -ENOTEMPTY. */
int draft_unlink(struct draft *d, const char *path);
int draft_rmdir(struct draft *d, const char *path);
/* Commits under the new name; what cannot be committed keeps the old one.
 * -EEXIST with `keep` if there is one. */
int draft_rename(struct draft *d, const char *from, const char *to, bool keep,
		 struct wait *w);
/* The file is this blob: when the registry has confirmed that, it is gone from
 * here.  -EBUSY: somebody still writes it. */
int draft_push(struct draft *d, const char *path, const struct digest *as,
	       struct wait *w);
/* Opens for writing: a file with no bytes, or with those it has (not
 * truncated; -ENOENT if there is none). */
int draft_write(struct draft *d, const char *path, bool truncate, pid_t tid,
		struct writer **ret);
/* A pending image of this name was published: what belongs to it leaves the
 * draft, if there is one. */
void draft_published(struct outbox *o, struct repo *r, const char *name,
		     const struct digest *root);
/* The barrier: 0 once all that was written here is published; else how the last
 * image was refused, or -EIO for what no image has (recorded which).  Waits for
 * a publication that is under way. */
int draft_sync(struct draft *d, struct wait *w);
/* Forgets all of it, and what is pending under this name. */
void draft_discard(struct draft *d);
