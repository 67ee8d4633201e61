/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The engine: one thread owns libcurl's multi handle and every easy handle.
 * Others start transfers, wait for the head, and pull the body out of a
 * bounded window; when nobody pulls, the socket is paused.  Never follows a
 * redirect, never authenticates, never retries, keeps no cookies: that is
 * policy and lives above.  All functions may be called from any thread;
 * http_wait_head, http_read and http_send_room wait.  One thread at a time uses
 * a transfer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/wait.h"

struct http;
struct http_transfer;

/* Why a transfer failed, before any meaning is given to it. */
enum http_fail {
	HTTP_FAIL_NONE,
	HTTP_FAIL_REFUSED,     /* connection refused */
	HTTP_FAIL_DNS,	       /* name does not resolve (for good) */
	HTTP_FAIL_DNS_AGAIN,   /* resolver trouble */
	HTTP_FAIL_UNREACHABLE, /* no route */
	HTTP_FAIL_CONNECT,     /* connect or TLS hand-shake timed out */
	HTTP_FAIL_TLS,	       /* certificate or hand-shake refused */
	HTTP_FAIL_PEER,	 /* connected address not allowed (struct http_spec) */
	HTTP_FAIL_STALL, /* no head in time, or body slower than the floor */
	HTTP_FAIL_RESET, /* connection lost */
	HTTP_FAIL_SHORT, /* body shorter than announced */
	HTTP_FAIL_PROTOCOL,  /* malformed answer, bad framing, header flood */
	HTTP_FAIL_TOO_LARGE, /* body longer than max_body_bytes */
	HTTP_FAIL_CANCELLED, /* engine is shutting down */
	HTTP_FAIL_LOCAL,     /* out of memory, bad URL, scheme not allowed */
};
const char *http_fail_name(enum http_fail f);

/* Where an address is: a stranger must not send us to a nearer class. */
enum http_peer {
	HTTP_PEER_ANY,	    /* as a requirement: no check */
	HTTP_PEER_LOOPBACK, /* 127/8, ::1 */
	HTTP_PEER_LOCAL,    /* link-local, unspecified, multicast */
	HTTP_PEER_PRIVATE,  /* RFC 1918, fc00::/7, 100.64/10 */
	HTTP_PEER_PUBLIC,
};
/* The class of a literal or connected address; ANY if it is no address. */
enum http_peer http_peer_class(const char *address);

struct http_config {
	unsigned connect_ms;	/* TCP connect */
	unsigned tls_ms;	/* connect + TLS */
	unsigned first_byte_ms; /* from sending to the end of the head */
	unsigned stall_ms;	/* with less than 1 KiB/s on average */
	bool offline;		/* every start fails with HTTP_FAIL_LOCAL */
	const char *user_agent;
};

/* TLS and connection identity of one host.  Must outlive its transfers. */
struct http_tls {
	const char *ca_file;	 /* additional CAs: a PEM bundle that holds the
				    system's too, or NULL for the system's */
	const char *client_cert; /* PEM file or NULL */
	const char *client_key;
	bool insecure; /* do not verify: only where the user asked for it */
};

#define HTTP_UPLOAD_UNKNOWN UINT64_MAX /* chunked transfer encoding */

struct http_spec {
	const char *method; /* GET HEAD POST PUT PATCH DELETE */
	const char *url;    /* http or https */
	const char *const
		*headers; /* "Name: value", NULL-terminated; or NULL */
	const void *body; /* sent as it is (copied), or NULL */
	size_t body_bytes;
	/* Instead of body: it is given piece by piece (http_send_room). */
	bool upload;
	uint64_t upload_bytes; /* how much will come, or HTTP_UPLOAD_UNKNOWN */
	unsigned answer_ms;    /* from the end of the body to the head; 0: the
				  engine's first_byte_ms */
	const struct http_tls *tls; /* or NULL */
	uint64_t max_body_bytes;    /* answer's body may not be longer */
	size_t window_bytes; /* body bytes held for the reader; 0: 256 KiB */
	enum http_peer
		peer; /* ANY, or: the connected address must be this
			 class or a farther one (skipped behind a proxy) */
	bool prompt;  /* a small answer: its body may not stall for longer than
			 its head, so that a look-up can try once more */
	bool http1;   /* bulk: HTTP/1.1 (limits.md: faster than one h2) */
	bool accept_any_encoding; /* default sends identity and refuses others
				   */
	bool look;		  /* a connection of its own, for http_seen */
};

/* The final (not 1xx) answer's head.  Valid until http_close. */
struct http_head {
	int status;
	char **names;  /* lower case */
	char **values; /* trimmed */
	size_t len;
	enum http_peer peer; /* of the connected address; ANY behind a proxy */
	bool http2;
};
/* First value of a header, or NULL; `nth` for repeated ones. */
const char *http_header(const struct http_head *h, const char *name);
const char *http_header_nth(const struct http_head *h, const char *name,
			    size_t nth);

int http_new(const struct http_config *cfg, struct http **ret);
/* Ends the thread; open transfers fail with HTTP_FAIL_CANCELLED. */
void http_free(struct http *h);

/* Queues; never waits.  Strings are copied. */
int http_start(struct http *h, const struct http_spec *spec,
	       struct http_transfer **ret);
/* -EIO: failed, see http_failure; -ETIMEDOUT, -EINTR: by the wait. */
int http_wait_head(struct http_transfer *t, struct wait *w,
		   const struct http_head **ret);
/*
 * Where the next bytes of an upload's body go; waits while 1 MiB of them is
 * still to be sent, until len more fit.  *ret has room for as many as are
 * returned, at least one and at most len.  -EPIPE: the answer's head is there
 * or the transfer has ended (http_wait_head tells which): no more is wanted;
 * -EINVAL: more than was announced; -ETIMEDOUT, -EINTR: by the wait.
 * While nothing is given the connection may be idle for as long as it likes.
 */
ssize_t http_send_room(struct http_transfer *t, size_t len, struct wait *w,
		       void **ret);
/* n bytes were written there: they are to be sent.  Without it, nothing is. */
void http_send_filled(struct http_transfer *t, size_t n);
/* The body is complete.  Before http_wait_head, which would wait for it. */
void http_send_end(struct http_transfer *t);
/* Bytes of the body that the socket took so far. */
uint64_t http_sent_bytes(const struct http_transfer *t);
/* Up to len bytes, at least one; 0 exactly at the proper end of the body.
 * Errors as above; bytes that came before a failure are delivered first. */
ssize_t http_read(struct http_transfer *t, void *buf, size_t len,
		  struct wait *w);
enum http_fail http_failure(const struct http_transfer *t);
/* What the connection was like of a transfer that looks; what never came about
 * is empty.  From the head, or the failure, to http_close. */
struct http_seen {
	char address[64]; /* connected to: the proxy's, where there is one */
	unsigned port;
	char proxy[256]; /* without user and password */
	char tls[32];	 /* "TLSv1.3" */
	char *cert;	 /* the server's certificate, PEM, or NULL */
};
const struct http_seen *http_seen(const struct http_transfer *t);
const char *http_failure_text(const struct http_transfer *t); /* for the log */
/* Cancels if it has not ended.  NULL is fine. */
void http_close(struct http_transfer *t);

/* Reads the rest of the body into a fresh NUL-terminated buffer; -EFBIG if it
 * is longer than max. */
int http_read_all(struct http_transfer *t, size_t max, struct wait *w,
		  char **ret, size_t *ret_len);
/* Drops idle connections (after resume from suspend). */
void http_forget_connections(struct http *h);
