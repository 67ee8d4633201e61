/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a struct registry is made of, for this folder only.  Parts with locks
 * of their own come first; `lock` protects the rest and is never held while
 * anything waits for a network.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "http/header.h"
#include "registry/login.h"
#include "registry/login/token.h"
#include "registry/push_form.h"
#include "registry/registry.h"
#include "registry/wire/door.h"
#include "registry/wire/exchange.h"
#include "registry/wire/redirect.h"

#define REGISTRY_REFUSED_MS 60000 /* a refused credential is not sent again */
#define REGISTRY_REFRESH_MS 5000  /* nor looked up again, if refused */
#define REGISTRY_NO_LIST_MS                                                    \
	600000 /* a refused catalogue is not asked again                       \
		*/
#define REGISTRY_SCOPES_MAX 1024

enum scheme { SCHEME_UNKNOWN, SCHEME_HTTPS, SCHEME_HTTP };
enum support { SUPPORT_UNKNOWN, SUPPORT_YES, SUPPORT_NO };

/* How a registry wants us to identify ourselves. */
struct demand {
	bool known;
	enum challenge_scheme scheme; /* OTHER: it does not ask */
	char *realm, *service;	      /* BEARER; realm absolute and judged */
};
void demand_done(struct demand *d);
int demand_copy(const struct demand *d, struct demand *ret);

struct rate {
	bool known;
	uint64_t limit, remaining, window_s;
	uint64_t seen_ms;
};

/* At a vendor's API that has tokens of its own. */
struct login {
	char *token; /* secret, or NULL: refused */
	char identity[17];
	uint64_t until_ms;
};

struct registry {
	const struct registries_config *cfg;
	char *name; /* in the tree */
	char *host; /* where it is: also whose credentials are used */
	/* Set once.  NULL: it is at its name. */
	const struct endpoint *endpoint;
	char *prefix; /* of its repositories' names there, or NULL */
	/* With a mirror for everything: that registry, for lists; or NULL. */
	struct registry *top;
	/* Of one that was reached by a route (mirror.h): for whom.  That name
	 * had to be allowed, this place has not. */
	const char *stands_for;
	const char *there, *here; /* see struct route_step */
	bool is_mirror;		  /* not the last resort */
	struct lanes *lanes;	  /* of the host, see door.h */
	struct wire wire;
	struct tokens *tokens;
	struct redirects *redirects;

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t learned;
	bool has_conf;
	struct host_conf conf; /* immutable once has_conf */
	enum scheme scheme;    /* what answered */
	enum http_peer peer;   /* where it is, as last seen */
	bool http2;
	bool speaks;   /* has answered as a registry does */
	bool learning; /* somebody asks /v2/ */
	bool indexing; /* somebody changes an index of referrers */
	struct demand demand;
	struct map
		*scopes; /* our scope -> char *, what challenges made of it */
	char refused_identity[17];
	uint64_t refused_until_ms, refresh_after_ms, told_after_ms;
	bool no_ranges;
	enum support referrers, catalog;
	bool shows_children;	   /* tags/list as Google has it */
	uint64_t catalog_until_ms; /* of a NO */
	struct login login;
	struct login_kept login_kept;
	struct ecr *ecr; /* NULL: none of Amazon's; set once */
	struct rate rate;
	char api_version[64];
	bool has_habits;
	struct push_habits habits; /* learned from uploads */
	uint64_t passed_until_ms;  /* of a mirror: not asked before */
	struct {
		struct registry **v;
		size_t len, cap;
	} mirrors;	      /* and the other places of endpoints; they stay */
	struct map *outdated; /* "repository reference", or NULL */
	bool all_outdated;
};

int registry_new(const struct registries_config *cfg, const char *host,
		 struct registry **ret);
void registry_free(void *r); /* NULL is fine */

/* The host's configuration, read at first use.  -EIO, -ENOMEM. */
int registry_conf(struct registry *r, const struct host_conf **ret);
struct retry_policy;
void registry_policy(const struct registry *r, struct retry_policy *ret);
/* "https://h:5000" as it would be asked now. */
int registry_base(struct registry *r, char **ret);
/* For base and "/v2/...": where that is here. */
int registry_url(struct registry *r, const char *base, const char *path,
		 char **ret);
/* Notes what an answer's head says of the registry. */
void registry_note_head(struct registry *r, const char *url,
			const struct http_head *head);
void registry_set_demand(struct registry *r, const struct demand *d);
int registry_copy_demand(struct registry *r, struct demand *ret);
/* It is asked for anew. */
void registry_forget_demand(struct registry *r);
/* Scope texts: the merged one if a challenge once asked for more. */
int registry_scope(struct registry *r, const char *own, char **ret);
void registry_keep_scope(struct registry *r, const char *own,
			 const char *merged);
bool registry_speaks(struct registry *r);
enum support registry_referrers(struct registry *r);
void registry_set_referrers(struct registry *r, enum support s);
/* NO only until it is time to ask again. */
enum support registry_catalog(struct registry *r);
void registry_set_catalog(struct registry *r, enum support s);
void registry_set_no_ranges(struct registry *r);
/* Records and logs a failure, except a caller's end. */
void registry_fault(struct registry *r, const char *object,
		    const struct outcome *out);
