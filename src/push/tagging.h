/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Changes that move no blob: a tag for what is there, another name for a tag,
 * removal.  Each checks outbox_writable and (removal, renaming) allow_delete:
 * -EPERM without, with a line in `.registryfs/errors` that says so.  The mount
 * shows the change at once.  Any thread; waits for the network.
 */
#include "push/outbox.h"
#include "util/wait.h"

/* The tag means this manifest from now on; it is in this repository. */
int tagging_put(struct outbox *o, struct repo *r, const char *tag,
		const struct digest *d, struct wait *w);
/* `to` means what `from` did, which is gone. */
int tagging_rename(struct outbox *o, struct repo *r, const char *from,
		   const char *to, struct wait *w);
int tagging_remove(struct outbox *o, struct repo *r, const char *tag,
		   struct wait *w);
int tagging_remove_manifest(struct outbox *o, struct repo *r,
			    const struct digest *d, struct wait *w);
int tagging_remove_blob(struct outbox *o, struct repo *r,
			const struct digest *d, struct wait *w);
