/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One request and its answer's head, through the gate of its origin.  Knows
 * nothing of redirects, authentication or trying again; says what happened in
 * words that those who do can use.
 */
#include <stdbool.h>
#include <stdint.h>

#include "http/http.h"
#include "registry/wire/fault.h"
#include "registry/wire/origin.h"

/* Why something did not work. */
struct outcome {
	int error;  /* -errno if nothing more is tried */
	int status; /* HTTP status, 0: none came */
	enum http_fail fail;
	bool may_retry; /* the retry policy decides; else it is final */
	bool refused;	/* a token server does not like the credential */
	bool has_retry_after;
	uint64_t retry_after_s;
	bool has_body, is_page; /* of a refusal; a web page */
	char code[64];
	char text[FAULT_TEXT_MAX];
};
/* Sets error and text (printf), returns error; the rest is left alone. */
int outcome_set(struct outcome *out, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What a registry's requests go through; set once. */
struct wire {
	struct http *http;
	struct origins origins;
	unsigned pause_ms; /* after a 429 that does not say how long */
};

struct exchange_spec {
	const char *method;
	const char *url;
	const char *const *headers; /* or NULL */
	const void *body;	    /* or NULL */
	size_t body_bytes;
	bool upload; /* the body comes later, piece by piece */
	uint64_t upload_bytes;
	unsigned answer_ms; /* or 0, as in struct http_spec */
	uint64_t max_body_bytes;
	bool bulk;
	enum http_peer peer;
};

struct exchange {
	struct origin *origin;
	struct http_transfer *transfer;
	const struct http_head *head; /* NULL: closed, or not here yet */
};

/* -EACCES: without TLS no secret goes there, unless that host was meant to be
 * plain. */
int exchange_guard(struct wire *wire, const char *url, struct outcome *out);
/* No connection came about: nothing was asked. */
bool outcome_unreached(const struct outcome *out);
/* 0 (any status; of an upload: it may be sent), or out->error. */
int exchange_open(struct wire *wire, const struct exchange_spec *spec,
		  struct wait *w, struct exchange *ret, struct outcome *out);
/* Ends an upload's body and waits for the head; as exchange_open. */
int exchange_finish(struct wire *wire, struct exchange *x, struct wait *w,
		    struct outcome *out);
/* The rest of the body, NUL-terminated; out->error on failure. */
int exchange_read_all(struct exchange *x, size_t max, struct wait *w,
		      char **ret, size_t *ret_len, struct outcome *out);
/* Fills in what a refusal says; reads its body. */
void exchange_refusal(struct exchange *x, struct wait *w, struct outcome *out,
		      bool *ret_is_oci);
/* The engine failed the transfer: fills out, returns out->error. */
int exchange_failed(const struct exchange *x, struct outcome *out);
void exchange_close(struct exchange *x); /* also of a closed one */
