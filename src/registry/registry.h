/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Registries: one `struct registry` per host, made when first named, kept
 * until the end.  Owns what is learned about the host: challenge, tokens,
 * capabilities, redirect targets, rate limit, pauses after 429, breaker after
 * refused connections, slots (the last three with all that are at the same
 * host, door.h).  No request is sent before somebody asks.
 * Any thread; whatever takes a `struct wait` may wait for the network.
 */
#include <stdbool.h>
#include <stdint.h>

#include "config/allow.h"
#include "config/awscred.h"
#include "config/dockerauth.h"
#include "config/hosts.h"
#include "config/options.h"
#include "http/http.h"
#include "registry/wire/fault.h"
#include "util/str.h"
#include "util/wait.h"

/* All must outlive the registries. */
struct registries_config {
	struct http *http;
	struct dockerauth *auth;
	struct awscred *aws; /* or NULL */
	struct hosts *hosts;
	struct allow *allow;
	struct fault_log *faults;
	struct option_times times;
	unsigned retries;
	bool offline;
	bool create_repository; /* where a push finds none, see ecr.h */
	unsigned slots;		/* parallel requests per host; 0: 8 */
	struct doors *doors;	/* made by registries_new */
};

struct registries;
struct registry;

int registries_new(const struct registries_config *cfg,
		   struct registries **ret);
void registries_free(struct registries *rs);
/* No I/O.  -EPERM: off the allow list; -EINVAL: no host name. */
int registries_get(struct registries *rs, const char *host,
		   struct registry **ret);
/* Hosts met so far, for `.registryfs/hosts`. */
int registries_list(struct registries *rs, struct string_list *ret);

/* A host's name, and which mirror for everything it is on, if there is one:
 * "docker.io@registry.example.com/path".  What is left to be done for one such
 * place is not to be done at another. */
int registries_place(const struct registries *rs, const char *host, char **ret);
/* With a mirror for everything: the hosts of which it has something, as far as
 * it lists. */
int registries_mirrored(struct registries *rs, struct wait *w,
			struct string_list *ret);

const char *registry_host(const struct registry *r);
/* A key for what this mount's credential may see of a repository where that is;
 * no network, may run a helper. */
int registry_identity(struct registry *r, const char *repository, char out[17]);
/* One page of text for people: what is known of the host.  No network. */
int registry_print(struct registry *r, struct str *out);
/* The same as a JSON object. */
int registry_print_json(struct registry *r, struct str *out);

/* What `registryfs check` shows: GET /v2/ with authentication. */
struct registry_probe {
	int status; /* of the final answer */
	bool https, http2, tls_verified;
	char auth[16];	 /* "none", "basic", "bearer" */
	char realm[256]; /* of the token server, or "" */
	char api_version[64];
	bool with_credential;
};
int registry_probe(struct registry *r, struct wait *w,
		   struct registry_probe *ret);
