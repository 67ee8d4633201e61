/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * containers' registries.conf, version 2, with its drop-in directories
 * (registries.md C.7): what counts for repositories beneath a prefix.  What
 * cannot be read must not open what it may block.
 * Immutable once read; any thread.
 */
#include "config/endpoint.h"

#define REGISTRIESCONF_ENTRIES_MAX 1024
#define REGISTRIESCONF_MIRRORS_MAX 64

struct conffile;
struct toml;

/* A place, and what stands there instead of the prefix. */
struct rewrite {
	struct endpoint *endpoint;
	char *path; /* "" or "/bar" */
};

struct regentry {
	char *where;
	char *prefix; /* "h", "h/ns/repo", "*.domain" */
	bool insecure, blocked, by_digest_only;
	struct rewrite location; /* endpoint NULL: as the name says */
	struct rewrite *v;	 /* mirrors, in order */
	size_t len, cap;
};

struct registriesconf {
	char *blocks_all; /* "FILE:LINE" of an entry that blocks nobody knows
			     what; or NULL */
	struct regentry **v;
	size_t len, cap;
};

/* All files there are; what cannot be used was told. */
int registriesconf_load(struct registriesconf *ret);
/* What may be blocked, and cannot be told apart, is everything; told. */
int registriesconf_block_all(struct registriesconf *c, const char *path,
			     unsigned line);
/* One more file: an entry takes the place of one with its prefix. */
int registriesconf_read(struct conffile *f, const struct toml *root,
			struct registriesconf *ret);
void registriesconf_done(struct registriesconf *c);
/* The longest prefix that "host/repository" (or "host") is beneath; NULL. */
const struct regentry *registriesconf_find(const struct registriesconf *c,
					   const char *host,
					   const char *repository);
/* The repository's name there; "-EINVAL": it has none. */
int registriesconf_rewrite(const struct regentry *e, const struct rewrite *to,
			   const char *host, const char *repository,
			   char **ret);
