/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A vendor's API beside the registry, for listings only: where it is, what of
 * the user's credential it may see, one request with its attempts.  Redirects
 * are not followed, plain http gets no secret, and of what an answer names
 * only links on its own origin are taken.
 */
#include <stdbool.h>

#include "config/credential.h"
#include "registry/catalog.h"

#define VENDOR_BYTES_MAX ((size_t)8 << 20)
#define VENDOR_URL_MAX 8192

struct json;

/* "https://hub.docker.com" for the vendor's own hosts; else what is left of
 * the realm without `realm_end`, so that nobody hears what the token server
 * would not.  -EOPNOTSUPP: that is not known. */
int vendor_base(struct registry *r, const struct catalog_lister *l, char **ret);
/* Kind NONE also where the credential is none for an API (tokens); what is
 * wrong with it was logged. */
int vendor_credential(struct registry *r, const char *area,
		      struct credential *ret);

struct vendor_ask {
	const char *url;	  /* absolute */
	const char *object;	  /* for people: "team" */
	const char *accept;	  /* or NULL: JSON */
	const char *name, *value; /* the line that identifies us, or NULL */
	const char *body;	  /* JSON; then it is a POST.  Or NULL */
};

struct vendor_answer {
	int status;	  /* 200, or a refusal: 400 to 405 */
	struct json *doc; /* if 200 */
	char *next;	  /* Link, judged and absolute; or NULL */
	char said[256];	  /* by a refusal */
};
void vendor_answer_done(struct vendor_answer *a);
/* 0, or -errno, recorded: could not ask. */
int vendor_ask(struct registry *r, const struct vendor_ask *ask, struct wait *w,
	       struct vendor_answer *ret);
/* `link` as seen from `url`, absolute and at the same origin, which those
 * behind a proxy do not know well.  -EACCES: another host, and not even this
 * list; -EINVAL: no URL. */
int vendor_next(const char *url, const char *link, char **ret);
/* Records that nobody may list `object` and why; -EOPNOTSUPP. */
int vendor_refused(struct registry *r, const char *object,
		   const struct vendor_answer *a);
/* Records that an answer makes no sense; -EIO. */
int vendor_broken(struct registry *r, const char *object, const char *why);

/*
 * One page of objects in an array.  `add` makes names of one object; what it
 * cannot use it leaves out.  The page is the document itself, or its member.
 * -EOPNOTSUPP: there was none.
 */
struct vendor_list {
	const char *member; /* or NULL */
	int (*add)(const struct json *one, const char *area,
		   struct string_list *names);
};
int vendor_add_names(struct registry *r, const struct vendor_list *l,
		     const char *area, const char *object,
		     const struct vendor_answer *a, struct string_list *names);
/* An `add`: "area/NAME" of the object's "name". */
int vendor_add_beneath(const struct json *one, const char *area,
		       struct string_list *names);
/* The user's own, as a folder. */
int vendor_own_namespace(const struct credential *c, struct string_list *names);
