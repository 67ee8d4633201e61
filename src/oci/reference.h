/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The grammar of names (distribution-spec "Pulling manifests", and
 * distribution/reference for hosts): host[:port], repository path, tag, digest.
 * Names with a colon have a twin spelled with '+' (host+5000, app+1.4,
 * sha256+6c1f…): no grammar allows a '+' there, so the twin is unambiguous.
 * Pure functions and value types; no I/O.
 */
#include <stdbool.h>
#include <stddef.h>

#include "oci/digest.h"

#define REFERENCE_HOST_MAX 255
#define REFERENCE_NAME_MAX 255 /* host + "/" + repository */
#define REFERENCE_TAG_MAX 128

/* "reg.example.com", "localhost", "h:5000", "h+5000", "[::1]:5000": a name of
 * the host level.  Needs a dot, a colon, a '+', or to be "localhost"; not a
 * leading dot.  Writes the canonical spelling (':', lower case). -EINVAL. */
int reference_parse_host(const char *s, char ret[REFERENCE_HOST_MAX + 1]);
bool reference_is_component(const char *s, size_t n); /* one path component */
bool reference_is_repository(const char *s);	      /* components by '/' */
bool reference_is_tag(const char *s);
/* The limit that concerns both together: host + "/" + repository. */
bool reference_fits(const char *host, const char *repository);

enum reference_kind {
	REFERENCE_COMPONENT, /* "app" */
	REFERENCE_TAG,	     /* "app:1.4", "app+1.4" */
	REFERENCE_DIGEST,    /* "app@sha256:…", "app@sha256+…" */
};

/* A directory name beneath a host, taken apart. */
struct reference_name {
	enum reference_kind kind;
	char component[REFERENCE_NAME_MAX + 1];
	char tag[REFERENCE_TAG_MAX + 1]; /* REFERENCE_TAG */
	struct digest digest;		 /* REFERENCE_DIGEST */
};
int reference_parse_name(const char *s, struct reference_name *ret);
/* "sha256:HEX" or "sha256+HEX", as names of _manifests and _blobs. */
int reference_parse_digest_name(const char *s, struct digest *ret);

/* "HOST[/REPOSITORY][:TAG][@DIGEST]" as users write it on the command line. */
struct reference {
	char host[REFERENCE_HOST_MAX + 1];
	char repository[REFERENCE_NAME_MAX + 1]; /* "" if none */
	char tag[REFERENCE_TAG_MAX + 1];	 /* "" if none */
	bool has_digest;
	struct digest digest;
};
int reference_parse(const char *s, struct reference *ret); /* -EINVAL */
