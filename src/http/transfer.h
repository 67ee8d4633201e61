/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One request and its answer, shared by the thread that asked (the reader)
 * and the engine.  Each holds a reference; the engine gives up its own once
 * the transfer has ended.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/bodyring.h"
#include "http/head.h"
#include "http/http.h"
#include "http/watch.h"
#include "util/list.h"

/* What the reader wants of the engine: bits of http_transfer.wants. */
enum transfer_want {
	TRANSFER_START = 1,
	TRANSFER_RESUME = 2, /* there is room again */
	TRANSFER_CANCEL = 4,
	TRANSFER_SEND = 8, /* the upload goes on, or ends */
};

struct http_transfer {
	/* Constant from the start. */
	struct http *engine;
	char *method, *url, *host;
	char *ca_file, *client_cert, *client_key;
	struct curl_slist *headers;
	char *body;
	size_t body_bytes, window;
	unsigned answer_ms;
	uint64_t max_body_bytes;
	enum http_peer peer;
	const char *proxy; /* NULL: none.  Belongs to the engine */
	bool https, insecure, http1, accept_any_encoding, prompt, look;

	/* Engine thread only. */
	CURL *easy;
	struct list_node active;
	struct watch watch;
	uint64_t received;
	enum http_fail why; /* set by the callback that broke it off */
	const char *why_text;
	bool peer_refused; /* at least one address was */
	int socket_errno;  /* why there was no socket for one */
	bool tcp_up;
	bool untold; /* bytes have come of which the reader was not told */
	char error[CURL_ERROR_SIZE];
	struct http_seen seen; /* constant once the head is ready */

	/* Protected by the engine's lock. */
	struct list_node queued;
	unsigned wants;

	atomic_uint refs;
	_Atomic enum http_fail fail; /* set once; `text` is, too, before */
	char text[CURL_ERROR_SIZE];

	pthread_mutex_t lock; /* taken before the engine's lock */
	pthread_cond_t cond;  /* head_ready, used or finished changed */
	/* Protected by lock.  The bytes in the ring are not: the engine writes
	 * only the free part, the reader reads only the used part. */
	struct head head; /* the engine's own until head_ready, then constant */
	bool head_ready;
	bool finished; /* nothing will change any more but `used` */
	bool detached; /* the engine has let go: it must not be asked again */
	bool closed;   /* nobody reads any more */
	bool paused;   /* libcurl holds the rest; changed by the engine */
	bool resume_asked;
	char *ring;
	size_t ring_size, ring_pos, used;
	size_t wanted; /* bytes worth waking the reader for at once */
	struct bodyring up;
};

/* -ENOMEM, or -EINVAL: the specification is unusable (*ret is there, too). */
int transfer_new(struct http *engine, const struct http_spec *spec,
		 struct http_transfer **ret);
void transfer_unref(struct http_transfer *t);
/* For the engine: the head is complete. */
void transfer_publish_head(struct http_transfer *t);
/* For the engine: body bytes.  -EAGAIN: no room, paused; -EFBIG, -ENOMEM,
 * -ECANCELED. */
int transfer_put(struct http_transfer *t, const char *bytes, size_t n);
/* For the engine: nothing more is coming right now. */
void transfer_tell(struct http_transfer *t);
/* The engine lets go of it. */
void transfer_detach(struct http_transfer *t);
/* Ends it, for good with HTTP_FAIL_NONE. */
void transfer_finish(struct http_transfer *t, enum http_fail fail,
		     const char *text);
