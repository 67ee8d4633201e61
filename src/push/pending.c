/* SPDX-License-Identifier: Apache-2.0 */
/* The list of pending images, and what happens to it from outside; see
 * pending_private.h for the states of an entry. */
#include "push/pending_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "push/publish_private.h"
#include "push/turn.h"
#include "util/auto.h"
#include "util/clock.h"

#define PRINT_MISSING_MAX 100

int pendings_new(struct outbox *o, struct pendings **ret)
{
	struct pendings *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = wait_cond_init(&p->changed);
	if (r < 0) {
		free(p);
		return r;
	}
	pthread_mutex_init(&p->lock, NULL);
	atomic_init(&p->len, 0);
	list_init(&p->list);
	p->outbox = o;
	*ret = p;
	return 0;
}

void pendings_free(struct pendings *p)
{
	if (!p)
		return;
	pending_thread_stop(p);
	list_for_safe(n, &p->list) {
		list_del(n);
		pending_free(container_of(n, struct pending, node));
	}
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int pendings_start(struct pendings *p)
{
	int r = pending_load_all(p);

	/* A journal that cannot be read has said so; reading goes on. */
	if (r == -ENOMEM)
		return r;
	return pending_thread_start(p);
}

size_t pendings_count(struct pendings *p)
{
	return atomic_load(&p->len);
}

/* --- entries --- */

void pending_free(struct pending *e)
{
	if (!e)
		return;
	repo_unref(e->from);
	free(e->from_host);
	free(e->from_repository);
	string_list_done(&e->missing);
	free(e->host);
	free(e->repository);
	free(e->name);
	free(e->mediatype);
	free(e->entry);
	free(e->text);
	free(e);
}

void pending_unref(struct pending *e)
{
	if (--e->refs == 0)
		pending_free(e);
}

static struct pending *entry_find(struct pendings *p, const char *entry)
{
	list_for(n, &p->list) {
		struct pending *e = container_of(n, struct pending, node);

		if (strcmp(e->entry, entry) == 0)
			return e;
	}
	return NULL;
}

/* "registry.example.com_team_app_1.5", "…_1.5-2". */
static int entry_name(struct pendings *p, struct pending *e)
{
	autofree char *text =
		str_printf("%s_%s_%s", e->host, e->repository, e->name);
	char name[PENDING_ENTRY_MAX + 1];

	if (!text)
		return -ENOMEM;
	for (char *c = text; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		      (*c >= '0' && *c <= '9') || *c == '.' || *c == '-'))
			*c = '_';
	snprintf(name, sizeof(name), "%.*s", PENDING_ENTRY_MAX - 12, text);
	for (unsigned i = 2; entry_find(p, name); i++)
		snprintf(name, sizeof(name), "%.*s-%u", PENDING_ENTRY_MAX - 12,
			 text, i);
	e->entry = strdup(name);
	return e->entry ? 0 : -ENOMEM;
}

int pending_enlist(struct pendings *p, struct pending *e)
{
	int r = entry_name(p, e);

	if (r < 0)
		return r;
	list_push_back(&p->list, &e->node);
	atomic_fetch_add(&p->len, 1);
	pthread_cond_broadcast(&p->changed); /* it may be due */
	return 0;
}

void pending_delist(struct pending *e)
{
	e->gone = true;
	list_del(&e->node);
	atomic_fetch_sub(&e->pendings->len, 1);
	pthread_cond_broadcast(&e->pendings->changed);
	pending_unref(e);
}

int pending_snapshot(struct pendings *p, pending_match match, const void *arg,
		     struct pending_snapshot *ret)
{
	struct pending_snapshot s = {.v = NULL};

	if (atomic_load(&p->len) == 0) {
		*ret = s;
		return 0;
	}
	autolock(&p->lock);
	s.v = calloc(atomic_load(&p->len) + 1, sizeof(struct pending *));
	if (!s.v)
		return -ENOMEM;
	list_for(n, &p->list) {
		struct pending *e = container_of(n, struct pending, node);

		if (!match(e, arg))
			continue;
		e->refs++;
		s.v[s.len++] = e;
	}
	if (s.len == 0)
		free(steal(&s.v));
	*ret = s;
	return 0;
}

void pending_snapshot_done(struct pendings *p, struct pending_snapshot *s)
{
	autolock(&p->lock);
	for (size_t i = 0; i < s->len; i++)
		pending_unref(s->v[i]);
	free(s->v);
}

int pending_remove(struct pending *e)
{
	struct pendings *p = e->pendings;
	int r;

	{
		autolock(&p->lock);
		if (e->gone)
			return 0;
		e->superseded = true;
	}
	r = journal_remove(p->outbox->journal, e->id);
	autolock(&p->lock);
	if (e->gone)
		return 0;
	if (r == 0) {
		pending_delist(e);
		return 0;
	}
	e->due_ms = pending_next_try(e->tries++);
	pthread_cond_broadcast(&p->changed);
	return r;
}

static bool entry_match(const struct pending *e, const void *arg)
{
	return strcmp(e->entry, arg) == 0;
}

int pending_drop(struct outbox *o, const char *entry)
{
	struct pending_snapshot s;
	int r;

	r = pending_snapshot(o->pendings, entry_match, entry, &s);
	if (r < 0)
		return r;
	r = s.len > 0 ? pending_remove(s.v[0]) : -ENOENT;
	if (s.len > 0)
		turn_pass(o, s.v[0]->host, s.v[0]->repository, s.v[0]->name);
	pending_snapshot_done(o->pendings, &s);
	return r;
}

/* --- what is shown --- */

int pending_names(struct outbox *o, struct string_list *ret)
{
	struct pendings *p = o->pendings;
	int r = 0;

	autolock(&p->lock);
	list_for(n, &p->list) {
		r = string_list_add(
			ret, container_of(n, struct pending, node)->entry);
		if (r < 0)
			break;
	}
	return r;
}

static int print_state(const struct pending *e, struct str *out)
{
	const size_t n = e->missing.len < PRINT_MISSING_MAX ? e->missing.len
							    : PRINT_MISSING_MAX;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = str_addf(out, "missing: %s\n", e->missing.v[i]);
	if (r == 0 && n < e->missing.len)
		r = str_addf(out, "missing: and %zu more\n",
			     e->missing.len - n);
	if (r == 0 && e->error > 0)
		r = str_addf(out, "error: %s%s%s\n", strerror(e->error),
			     e->text && e->text[0] ? ": " : "",
			     e->text ? e->text : "");
	if (r == 0 && e->superseded)
		r = str_add(out, "state: will not be published any more\n");
	else if (r == 0 && e->busy)
		r = str_add(out, "state: being published\n");
	else if (r == 0 && !e->tried && !e->error)
		r = str_add(out, "state: not tried since the start\n");
	return r;
}

int pending_print(struct outbox *o, const char *entry, struct str *out)
{
	struct pendings *p = o->pendings;
	char root[DIGEST_TEXT_MAX], since[32];
	const struct pending *e;
	struct digest d;
	int r;

	autolock(&p->lock);
	e = entry_find(p, entry);
	if (!e)
		return -ENOENT;
	digest_format(&e->root, root);
	clock_format_rfc3339(e->wall, since);
	r = str_addf(out, "image: %s/%s%c%s\nroot: %s\nsince: %s\n", e->host,
		     e->repository, digest_parse(e->name, &d) == 0 ? '@' : ':',
		     e->name, root, since);
	return r < 0 ? r : print_state(e, out);
}
