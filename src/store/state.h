/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The insides of a store, shared by the files of this folder.
 *
 * Locks, in the order in which they are taken:
 *   staging     whoever reserves disk for a file being written
 *   saving      one saver of maps at a time; may be held for an fdatasync
 *   maintenance whoever takes chunks away or writes their rows; short
 *   opening     who joins or leaves the table of open blobs
 *   lock        the table, all chunk maps, the spill ring, the counts; no I/O
 *   (the database's own lock)
 * A tree has a lock of its own, which comes before these: only when descriptors
 * have run out are any taken with it.  See treepool.c for pool_lock.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/chunk.h"
#include "store/chunkmap.h"
#include "store/db.h"
#include "store/spill.h"
#include "store/store.h"
#include "util/list.h"
#include "util/map.h"

/* Blobs that nobody uses are kept open for so long: opening reads states. */
#define IDLE_MS 10000
#define TREE_IDLE_MS 60000
#define HIDDEN_NONE SIZE_MAX

struct store {
	/* Constant while open. */
	char *dir; /* absolute; NULL: in memory */
	uint64_t size_bytes, min_free_bytes;
	uint64_t spool_bytes; /* of all stages; 0: no limit */
	struct db *db;
	int dirfd; /* -1: in memory; replaced in place by dup3 */
	int lockfd;
	pid_t pid;     /* that opened it */
	bool was_full; /* so that dirfd is -1 */

	pthread_mutex_t staging, saving, maintenance, opening, lock;

	/* Protected by lock. */
	pthread_cond_t changed; /* a claim, a pass of the hash, a reset ended */
	struct list_node open;	/* struct chunks, least recently used first */
	struct map *table;	/* the same by digest */
	size_t idle;		/* of them, without a user */
	size_t idle_max;	/* constant */
	struct list_node trees; /* struct trees that somebody holds */
	uint64_t tree_bytes;	/* kept, about: what was removed since they were
				   last counted is in it, too */
	struct spill spill;
	uint64_t bytes; /* present in files, of open and closed blobs */
	uint64_t unchecked_bytes; /* written since the free space was looked at
				   */
	uint64_t evicted_bytes;
	uint64_t tick;	    /* newest `used` */
	uint64_t full_ms;   /* when eviction last gained nothing; or 0 */
	uint64_t warned_ms; /* when a failed write was last logged; or 0 */
	bool starved;  /* less than min_free_bytes free and nothing to evict */
	bool no_punch; /* the file system cannot punch holes */
	uint64_t stages, stage_bytes; /* files being written, their sizes */
	uint64_t stage_warned_ms;     /* when one was last refused room; or 0 */

	/* Protected by pool_lock; see treepool.c. */
	pthread_mutex_t pool_lock;
	struct list_node pool; /* struct trees that may be parked */
	unsigned pool_len;
	unsigned pool_max; /* constant */

	/* Protected by lock; for the janitor. */
	pthread_t janitor;
	pthread_cond_t kick;
	bool started, stop, kicked;

	/* Protected by saving. */
	uint64_t swept_generation; /* of the database, when last swept */
};

/* A range of chunks that someone is writing or punching. */
struct claim {
	struct list_node node;
	size_t from, to;
};

struct chunks {
	struct store *s;
	struct digest digest;
	uint64_t size_bytes;
	size_t count;

	/* All protected by s->lock. */
	struct list_node node; /* in s->open */
	size_t refs;
	uint64_t idle_ms; /* since when refs is 0 */
	struct chunkmap map;
	struct list_node claims;
	size_t hidden; /* written chunk that would complete the blob */
	bool hidden_spilled;
	uint64_t drops;	     /* grows whenever a chunk stops being readable */
	unsigned resetting;  /* threads that are about to empty the file */
	uint64_t epoch;	     /* grows whenever everything was dropped */
	uint64_t file_bytes; /* present in the file */
	uint64_t used;	     /* s->tick when last used */
	uint64_t used_saved;
	int fd;		  /* -1: no file yet; set once */
	bool read_only;	  /* fd can only be read */
	bool dirty;	  /* something to save */
	bool hashing;	  /* a thread is at the frontier */
	bool disturbed;	  /* ... and the chunk there was lost under it */
	bool resave;	  /* all segments, not only changed ones */
	bool states_lost; /* rows of states are to be deleted */
	bool failed;
};

/* --- storedir.c: DIR --- */
/* -EBUSY and *ret_pid; -EPERM, -ELOOP and perhaps *ret_why (caller frees);
 * others: cannot be used. */
int storedir_open(struct store *s, const char *dir, char **ret_why,
		  int *ret_pid);
void storedir_close(struct store *s);
/* Writes our process number into the lock file. */
void storedir_note_pid(struct store *s);
/* Makes DIR, lock and database anew where somebody deleted them. */
void storedir_revive(struct store *s);
/* Removes files no row knows of, e.g. written just before a crash. */
void storedir_sweep(struct store *s);
/* Enough to open a database; also if nobody can tell. */
bool storedir_has_room(struct store *s);
/* Removes blobs, whichever, until a database can be opened; false: it has room
 * as it is. */
bool storedir_make_room(struct store *s);
/* 0 unless statvfs fails. */
int storedir_free(struct store *s, uint64_t *ret_bytes);

/* --- blobfile.c: the sparse file of one blob --- */
/* Makes it if `make`.  -ENOENT; -EPERM: not a file of ours. */
int blobfile_open(struct store *s, const struct digest *d, bool make,
		  int *ret_fd, bool *ret_read_only);
void blobfile_remove(struct store *s, const struct digest *d);
/* Gives back the space; -EOPNOTSUPP. */
int blobfile_punch(int fd, uint64_t from, uint64_t len);
/* Is any of it a hole, or behind the end? */
bool blobfile_has_hole(int fd, uint64_t from, uint64_t len);

/* --- treepool.c: trees that are open --- */
/* How many of them, and how many blobs without a user, may be: by the limit of
 * descriptors. */
unsigned store_open_max(void);
/* When r is -EMFILE or -ENFILE: closes all that nobody uses now; true: try
 * again. */
bool store_relieve(struct store *s, int r);

/* --- treefile.c: files of trees --- */
/* Removes what nobody is building any more. */
void treefile_sweep(struct store *s);
/* Least recently used first, until both limits are met, and so much more is
 * free. */
void treefile_evict(struct store *s, uint64_t need_bytes);
/* So much more is kept: likewise, where that may be needed. */
void treefile_added(struct store *s, uint64_t bytes);
void treefile_stats(struct store *s, uint64_t *ret_trees, uint64_t *ret_bytes);
/* Those that are kept, while no lock is held.  Stops on non-zero and returns
 * it. */
typedef int (*treefile_each_fn)(void *arg, const char *key, uint64_t bytes,
				bool open);
int treefile_each(struct store *s, treefile_each_fn each, void *arg);

/* --- stage.c --- */
/* Removes what an earlier run left in DIR/spool. */
void stage_sweep(struct store *s);

/* --- rows_blob.c --- */
struct blob_row {
	int64_t id;
	uint64_t size_bytes, bytes, used;
};
/* What to write.  Segment arrays are in m; `bits` are what is recorded. */
struct blob_change {
	const struct digest *digest;
	uint64_t size_bytes, bytes, used;
	bool verified;
	bool states_lost, maps_lost; /* delete these rows first */
	struct segment_change {
		size_t n;
		bool has_bits;
		uint64_t bits[SEGMENT_WORDS];
		uint8_t *states; /* owned; NULL: unchanged */
		size_t states_len;
	} * segments;
	size_t segments_len;
};
int blob_get(struct store *s, const struct digest *d, struct blob_row *ret);
/* Sets CHUNK_SAVED, and CHUNK_PRESENT likewise, and the frontier. */
int blob_load(struct store *s, const struct blob_row *row, struct chunkmap *m);
int blob_save(struct store *s, const struct blob_change *change);
void blob_change_done(struct blob_change *change);
/* The rows whose digests begin with these `n` bytes; stops at what is not 0. */
int blob_each_like(struct store *s, const struct digest *d, size_t n,
		   int (*each)(void *arg, const struct digest *d), void *arg);
int blob_forget(struct store *s, const struct digest *d);
int blob_empty(struct store *s, const struct digest *d); /* its map */
/* The rows with data, used at `since` or later, oldest first, at most max. */
int blob_oldest(struct store *s, uint64_t since, size_t max,
		struct digest *ret_digests, struct blob_row *ret_rows,
		size_t *ret_len);
/* Sum of bytes and largest `used`. */
int blob_totals(struct store *s, uint64_t *ret_bytes, uint64_t *ret_used);

/* --- rows.c --- */
/* Deletes what was not refreshed for months. */
int rows_prune(struct store *s, int64_t wall);
/* Deletes all that can be asked for again but the names of what was seen, and
 * gives the room back. */
int rows_clear(struct store *s);
int rows_stats(struct store *s, struct store_stats *ret);

/* --- chunkstate.c: changes of one blob's state --- */
/* With s->lock held: */
void chunk_use(struct chunks *c);	     /* newest in the order */
void chunk_mark(struct chunks *c, size_t i); /* is there from now on */
void chunk_lost(struct chunks *c, size_t i); /* is not there any more */
void chunk_ref(struct chunks *c);
void chunk_unref(struct chunks *c);
/* Waits until nobody else writes chunk i.  False: it is there already. */
bool chunk_claim(struct chunks *c, size_t i, struct claim *claim);
void chunk_unclaim(struct chunks *c, struct claim *claim);
void chunk_spill(struct chunks *c, size_t i, void *bytes); /* takes bytes */
/* Nothing is there from now on, no state known if `states`; then, without the
 * lock, the rest: chunk_reset_finish, or _empty when holding maintenance. */
void chunk_reset_begin(struct chunks *c, bool states);
void chunk_reset_finish(struct chunks *c);
void chunk_reset_empty(struct chunks *c);

/* --- store.c --- */
/* Makes what was learned durable: data first, then the maps. */
int store_maintain(struct store *s);

/* --- chunk.c --- */
/* Frees those that nobody uses: all, too many, or idle since before_ms.  The
 * caller holds saving. */
void chunk_release_idle(struct store *s, uint64_t before_ms, bool all);

/* --- chunkio.c: bytes of one chunk, lock not held --- */
/* 0; -ENODATA: not there, or was lost meanwhile, or is damaged. */
int chunk_load(struct chunks *c, size_t i, void *buf);
/*
 * To the file, else as a copy for the spill ring in *ret_spill.  -ENOMEM.
 */
int chunk_store(struct chunks *c, size_t i, const void *bytes, size_t len,
		void **ret_spill);

/* --- chunkhash.c --- */
/* Hashes on from the frontier as far as there are chunks; `bytes` are those
 * of chunk i (NULL: none).  Lock held; given up meanwhile.  False: no memory.
 */
bool chunk_hash_on(struct chunks *c, size_t i, const void *bytes);
/* Lock not held: checks a chunk against states copied before. */
struct chunk_proof {
	bool known;
	uint8_t before[HASH_STATE_MAX], after[HASH_STATE_MAX];
};
void chunk_proof_get(struct chunks *c, size_t i, struct chunk_proof *ret);
bool chunk_proof_fits(const struct chunks *c, size_t i,
		      const struct chunk_proof *p, const void *bytes);

/* --- save.c --- */
int save_all(struct store *s);	/* data first, then rows */
int save_one(struct chunks *c); /* holds saving */
/* Under maintenance: records that chunks of segments a to b were lost. */
int save_lost(struct chunks *c, size_t a, size_t b);
/* The database was replaced: everything is to be saved again. */
void save_again(struct store *s);

/* --- evict.c --- */
/* Pure: bytes of data to come down to so that both limits are met, with some
 * room; `bytes` if they are. */
uint64_t evict_target(uint64_t bytes, uint64_t size_bytes, uint64_t free_bytes,
		      uint64_t min_free_bytes);
/* Frees until there are no more than target_bytes; `force`: also what was used
 * just now, if need be.  Returns what it freed. */
uint64_t evict_to(struct store *s, uint64_t target_bytes, uint64_t now_ms,
		  bool force);
/* All that has no user; returns what it freed. */
uint64_t evict_unused(struct store *s);
/* By the limits as they are now. */
void evict_check(struct store *s, uint64_t now_ms);
/* Before a chunk is written: false: keep it in memory. */
bool evict_make_room(struct store *s, uint64_t now_ms);
/* After a write found the disk full: true: some room was made. */
bool evict_disk_full(struct store *s, uint64_t now_ms);
/* Is so much free besides min_free_bytes? */
bool evict_has_room(struct store *s, uint64_t need_bytes);
/* Sees to it, sparing nothing; false: it cannot be had. */
bool evict_for(struct store *s, uint64_t need_bytes, uint64_t now_ms);
