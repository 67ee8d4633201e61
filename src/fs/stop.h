/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Being told to stop: SIGTERM, SIGINT, SIGHUP, an unmount.  Nothing new is
 * written from then on; what is being sent is finished, for at most
 * STOP_PATIENCE_MS or until a second signal; then every wait ends and the
 * session loop returns.
 */
struct fs;

#define STOP_PATIENCE_MS 30000

/* By the thread that runs the session, which takes the signals from then on. */
int stop_begin(struct fs *fs);
/* There is nothing more to receive; any thread of the session. */
void stop_unmounted(void);
/* The session loop has returned. */
void stop_end(void);
