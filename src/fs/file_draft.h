/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A file of an image directory that is being written: its bytes are not what a
 * registry shows (yet).  Read anew each time; its name may mean something else
 * as soon as it is published.  And symbolic links of that kind.
 */
#include "fs/node.h"

/* `number` as of draft_stat; 0: not known yet. */
int file_draft_new(struct node *parent, const char *name, uint64_t number,
		   struct node **ret);
int link_draft_new(struct node *parent, const char *name, const char *target,
		   uint64_t number, struct node **ret);
/* Is the node one of these, and the file of this number?  One whose number was
 * not known has it from now on. */
bool file_draft_matches(struct node *n, uint64_t number);
/* Is it one that somebody has open for writing? */
bool file_draft_written(struct node *n);
/* Of any of the kinds that only a draft has, directories too? */
bool node_is_draft(const struct node *n);
