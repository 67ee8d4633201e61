/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A request's body on its way out: the caller fills a bounded ring, the engine
 * empties it into libcurl.  Embedded in a transfer, and under its lock.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_transfer;

struct bodyring {
	/* Constant from the start. */
	bool wanted;	/* there is such a body at all */
	uint64_t total; /* HTTP_UPLOAD_UNKNOWN: till its end */

	/* Engine thread only. */
	uint64_t taken; /* handed to libcurl */
	bool told_end;	/* libcurl knows that nothing more is coming */

	_Atomic uint64_t sent; /* of the taken; changed by the engine */

	/* Protected by the transfer's lock, but not the bytes in the ring: the
	 * caller writes only the free part, the engine reads only the rest. */
	char *ring;
	size_t size, pos, used;
	size_t goal;	/* the caller waits until no more is used */
	uint64_t given; /* by the caller */
	bool ended;	/* nothing more will be given */
	bool over;	/* the answer came first; changed by the engine */
	bool paused;	/* libcurl waits for bytes; changed by the engine */
	bool resume_asked;
};

/* For the engine: up to n bytes, 0 at the end.  -EAGAIN: none yet, paused;
 * -ENODATA: it ended short of what was announced. */
ssize_t bodyring_take(struct http_transfer *t, char *buf, size_t n);
/* For the engine: libcurl has put that much on its connection. */
void bodyring_note_sent(struct http_transfer *t, uint64_t bytes);
/* For the engine: all that was given is sent, and more may come. */
bool bodyring_idle(struct http_transfer *t);
/* For the engine: libcurl has put `bytes` on its connection; is that all? */
bool bodyring_complete(const struct http_transfer *t, uint64_t bytes);
/* For the engine: the head is there.  False: ahead of the body's end, of which
 * no more will be sent. */
bool bodyring_answered(struct http_transfer *t);
