/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What journal.c and journalrows.c share. */
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "store/db.h"
#include "store/journal.h"

#define JOURNAL_FILE "journal.db"
#define JOURNAL_WAL "journal.db-wal"

struct journal {
	struct store *s;
	struct db *_Atomic db; /* NULL: refuses; set once */
	pthread_mutex_t opening;
	char *why; /* of a refusal */
	bool full; /* which is, that its disk was */
	/* What SQLite holds open, and where its names must still lead to. */
	struct journal_file {
		dev_t dev;
		ino_t ino;
	} file, wal;
	/* Protected by the database's lock.  Numbers are not given twice in a
	 * run. */
	int64_t next_image, next_session;
	int64_t first_session; /* of this run */
};

/*
 * With the lock held.  journal_begin: 0, or -EROFS; journal_end ends what it
 * began as db_end does, and 0 means that it is where the next run will look.
 */
int journal_begin(struct journal *j);
int journal_end(struct journal *j, int r);
/* The same for what need not survive. */
int journal_end_loosely(struct journal *j, int r);
/* Is what was committed where the next run will look?  Lock held. */
bool journal_in_place(struct journal *j);
