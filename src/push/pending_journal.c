/* SPDX-License-Identifier: Apache-2.0 */
/* Pending images and the journal: what is here is there first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/pending_private.h"
#include "push/publish_private.h"
#include "util/auto.h"
#include "util/clock.h"

AUTOPTR_DEFINE(manifest, manifest_free)

int pending_from_image(struct pendings *p, const struct journal_image *i,
		       struct pending **ret)
{
	struct pending *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	*e = (struct pending){.pendings = p,
			      .refs = 1,
			      .id = i->id,
			      .host = strdup(i->host),
			      .repository = strdup(i->repository),
			      .name = strdup(i->name),
			      .mediatype = strdup(i->mediatype),
			      .root = i->root,
			      .before = i->before,
			      .was = i->was,
			      .wall = i->wall,
			      .error = i->error,
			      .text = strdup(i->text ? i->text : "")};
	list_init(&e->node);
	if (i->from_host) {
		e->from_host = strdup(i->from_host);
		e->from_repository = strdup(i->from_repository);
	}
	if ((i->from_host && (!e->from_host || !e->from_repository)) ||
	    !e->host || !e->repository || !e->name || !e->mediatype ||
	    !e->text) {
		pending_free(e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

/* Lock held.  A run that ended between writing the newer and removing the
 * older: the thread does it. */
static void supersede_elders(struct pendings *p, const struct pending *than)
{
	list_for(n, &p->list) {
		struct pending *e = container_of(n, struct pending, node);

		if (e->id < than->id && strcmp(e->name, than->name) == 0 &&
		    strcmp(e->repository, than->repository) == 0 &&
		    strcmp(e->host, than->host) == 0)
			e->superseded = true;
	}
}

/* One that was written with another mirror for everything stays where it is
 * until that one is back. */
static int settle(struct pending *e)
{
	autofree char *host = NULL;
	int r = outbox_host_of(e->pendings->outbox, e->host, &host);

	if (r == 0) {
		free(e->host);
		e->host = steal(&host);
		return 0;
	}
	if (r != -EREMCHG)
		return r;
	free(e->text);
	e->text = strdup("was written with another mirror= than this mount's");
	e->error = -r;
	return e->text ? r : -ENOMEM;
}

static int load_one(void *arg, const struct journal_image *i)
{
	struct pendings *p = arg;
	struct pending *e;
	int r;

	r = pending_from_image(p, i, &e);
	if (r < 0)
		return r;
	r = settle(e);
	if (r < 0 && r != -EREMCHG) {
		pending_free(e);
		return r;
	}
	autolock(&p->lock);
	supersede_elders(p, e);
	if (r == 0)
		pending_make_due(e);
	r = pending_enlist(p, e);
	if (r < 0)
		pending_unref(e);
	return r;
}

int pending_load_all(struct pendings *p)
{
	return journal_images(p->outbox->journal, load_one, p);
}

int pending_insert(struct pendings *p, const struct publication *pub,
		   const struct pending_past *past,
		   const struct publish_docs *docs, struct pending **ret)
{
	struct journal_image i = {
		.host = repo_host(pub->repo),
		.repository = repo_name(pub->repo),
		.name = pub->name,
		.root = *pub->root,
		.mediatype = pub->mediatype ? pub->mediatype : "",
		.before = past->before,
		.was = past->was,
		.wall = clock_wall(),
		.text = "",
	};
	const size_t len = docs ? docs->len : 0;
	autofree struct journal_document *v = calloc(len + 1, sizeof(*v));
	autofree char *place = NULL, *from = NULL;
	struct pending *e;
	int r = 0;

	if (!v)
		return -ENOMEM;
	if (pub->from) {
		r = content_place(p->outbox->content, repo_host(pub->from),
				  &from);
		i.from_host = from;
		i.from_repository = repo_name(pub->from);
	}
	if (r < 0)
		return r;
	for (size_t k = 0; k < len; k++)
		v[k] = (struct journal_document){.digest = docs->v[k]->digest,
						 .mediatype =
							 docs->v[k]->mediatype,
						 .bytes = docs->v[k]->bytes,
						 .len = docs->v[k]->size_bytes};
	r = pending_from_image(p, &i, &e);
	if (r < 0)
		return r;
	e->from = pub->from ? repo_ref(pub->from) : NULL;
	r = content_place(p->outbox->content, i.host, &place);
	i.host = place;
	if (r == 0)
		r = journal_add(p->outbox->journal, &i, v, len, &e->id);
	if (r < 0)
		pending_free(e);
	else
		*ret = e;
	return r;
}

/* --- documents --- */

struct loading {
	VEC(struct manifest *) docs;
	size_t bytes;
};

/* One that is damaged is as good as missing, and will be reported so. */
static int load_document(void *arg, const struct journal_document *d)
{
	autoptr(manifest) m = NULL;
	struct loading *l = arg;
	int r;

	r = manifest_parse(d->bytes, d->len, d->mediatype, d->digest.alg, &m,
			   NULL);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (!digest_equal(&m->digest, &d->digest))
		return 0;
	l->bytes += d->len;
	if (l->bytes > CLOSURE_BYTES_MAX ||
	    l->docs.len >= CLOSURE_DOCUMENTS_MAX)
		return 0;
	r = vec_push(&l->docs, m);
	if (r == 0)
		m = NULL;
	return r;
}

int pending_load_docs(const struct pending *e, struct publish_docs *ret)
{
	struct journal *j = e->pendings->outbox->journal;
	struct loading l = {.bytes = 0};
	int r;

	r = journal_documents(j, e->id, load_document, &l);
	if (r == -EBADMSG)
		r = 0;
	*ret = (struct publish_docs){.v = l.docs.v, .len = l.docs.len};
	if (r < 0)
		publish_docs_done(ret);
	return r;
}

static int save_one(const struct pending *e, const struct manifest *m)
{
	const struct journal_document d = {.digest = m->digest,
					   .mediatype = m->mediatype,
					   .bytes = m->bytes,
					   .len = m->size_bytes};

	return journal_add_document(e->pendings->outbox->journal, e->id, &d);
}

static bool docs_have(const struct publish_docs *docs, const struct digest *d)
{
	for (size_t i = 0; docs && i < docs->len; i++)
		if (digest_equal(&docs->v[i]->digest, d))
			return true;
	return false;
}

int pending_save_docs(const struct pending *e, const struct publish_docs *docs,
		      const struct publish_docs *but)
{
	int r = 0;

	for (size_t i = 0; docs && i < docs->len && r == 0; i++)
		if (!docs_have(but, &docs->v[i]->digest))
			r = save_one(e, docs->v[i]);
	return r;
}

int pending_save_feed(const struct pending *e, const struct digest *d,
		      struct feed *feed)
{
	autoptr(manifest) m = NULL;
	autofree char *bytes = NULL;
	size_t len;
	int r;

	r = feed_read_whole(feed, MANIFEST_BYTES_MAX, &bytes, &len);
	if (r == -EFBIG)
		return 0; /* no manifest, and so nothing to keep */
	if (r == 0)
		r = manifest_parse(bytes, len, "", d->alg, &m, NULL);
	if (r == -EBADMSG)
		return 0; /* likewise */
	if (r < 0)
		return r;
	return digest_equal(&m->digest, d) ? save_one(e, m) : -EBADMSG;
}
