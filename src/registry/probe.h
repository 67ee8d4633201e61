/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Trying single abilities of a registry, to explain them.  Nothing is written:
 * the most is an upload session without a byte, which is ended again.  What
 * fails is not recorded as a fault but told in the answer.  Any thread; waits
 * for the network.
 */
#include <stdbool.h>
#include <stdint.h>

#include "http/http.h"
#include "oci/descriptor.h"
#include "registry/registry.h"
#include "util/certificate.h"

/* What was answered, or why not. */
struct probe {
	int error;  /* -errno: nobody answered, or it makes no sense */
	int status; /* HTTP, 0: none */
	enum http_fail fail;
	char code[64]; /* of an OCI error */
	char text[FAULT_TEXT_MAX];
	bool identified; /* with a credential */
};

/* --- the connection: probe_reach.c --- */

struct probe_reach {
	struct probe answer; /* any status will do */
	char url[512];	     /* what was asked, without a query */
	char host[256];	     /* as files and options name that place */
	bool is_loopback;
	bool https, http2;
	bool insecure;	  /* the certificate was not to be verified */
	bool own_ca;	  /* CAs of certs.d or hosts.toml are known for it */
	bool fell_back;	  /* no TLS on loopback: plain http, which answers */
	bool talks_plain; /* https failed; plain http would be answered */
	char address[80], proxy[256], tls[32];
	bool has_cert; /* also of one that was refused */
	struct certificate cert;
	bool has_date;
	int64_t ahead_s;  /* its clock, of ours */
	char reason[256]; /* why TLS failed, in the library's words */
};
/* One connection of its own, without identification. */
int probe_reach(struct registry *r, struct wait *w, struct probe_reach *ret);

/* --- places: mirrors and where it really is --- */

struct probe_place {
	struct registry *registry;
	char *repository;
	char *where;	     /* "http://h:5000/v2", for people */
	const char *written; /* "FILE:LINE", or NULL: the name itself */
	bool last;
};
#define PROBE_PLACES_MAX 32
struct probe_places {
	struct probe_place v[PROBE_PLACES_MAX];
	size_t len;
};
/* As they are asked when something is read by digest; the last one is never
 * left out. */
int probe_places(struct registry *r, const char *repository, struct wait *w,
		 struct probe_places *ret);
void probe_places_done(struct probe_places *p);

/* --- reading --- */

/* GET /v2/, identified as for all else. */
int probe_ping(struct registry *r, struct wait *w, struct probe *ret);

/* What is known once something was asked. */
struct probe_login {
	bool known; /* whether it asks */
	char scheme[16];
	char realm[256], service[128]; /* without query */
	bool refused;		       /* the credential, at its token server */
	uint64_t token_life_s;	       /* 0: none was given */
	char lister[16];	       /* who lists: "v2", "hub" */
	bool has_rate;
	uint64_t rate_limit, rate_left, rate_window_s;
	bool is_referrers_known, has_referrers; /* the API */
};
void probe_login(struct registry *r, struct probe_login *ret);

struct probe_head {
	struct probe answer;
	char digest[160]; /* as it was given; "" if not */
	char mediatype[256];
};
int probe_head(struct registry *r, const char *repository, const char *ref,
	       struct wait *w, struct probe_head *ret);

struct probe_range {
	struct probe answer;
	bool partial;	/* just these bytes came */
	bool redirects; /* the registry sends us elsewhere */
	char host[320]; /* there: "https://storage.test" */
};
/* Really reads [off, off+len) of a blob, from the registry or where it sends
 * us. */
int probe_range(struct registry *r, const char *repository,
		const struct descriptor *d, uint64_t off, uint64_t len,
		struct wait *w, struct probe_range *ret);

/* --- changing --- */

struct probe_upload {
	struct probe answer;
	char *session; /* a secret, or NULL: none was opened */
	uint64_t chunk_min_bytes;
};
/* Opens a session, in which nothing is sent. */
int probe_upload(struct registry *r, const char *repository, struct wait *w,
		 struct probe_upload *ret);
/* Ends it, and forgets it: `answer` tells how that went. */
int probe_upload_end(struct registry *r, const char *repository, struct wait *w,
		     struct probe_upload *u);
/* In which forms it takes uploads, as far as its name tells. */
int probe_upload_forms(struct registry *r, struct str *out);
/* DELETE of a manifest that cannot be there. */
int probe_delete(struct registry *r, const char *repository, struct wait *w,
		 struct probe *ret);
