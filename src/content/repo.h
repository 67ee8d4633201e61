/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A repository as somebody named it: whether it exists is only known once the
 * registry was asked.  Counted; one object per (host, name) while in use.
 */
#include "content/content.h"
#include "util/auto.h"

struct repo;

/* No request.  -EPERM: off the allow list. */
int repo_open(struct content *c, const char *host, const char *name,
	      struct repo **ret);
struct repo *repo_ref(struct repo *r);
void repo_unref(struct repo *r);
AUTOPTR_DEFINE(repo, repo_unref)
const char *repo_host(const struct repo *r);
const char *repo_name(const struct repo *r);
struct content *repo_content(const struct repo *r);
/*
 * Digests that this repository is known to hold (from earlier use): a registry
 * has no list of them.  Manifests or blobs, as text.
 */
int repo_digests(struct repo *r, bool manifests, struct string_list *ret);
/* For who sends: the registry client of its host. */
struct registry *repo_registry(struct repo *r);
