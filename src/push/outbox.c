/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox itself: what it owns, whether one may write, what it shows. */
#include "push/outbox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "push/outbox_private.h"
#include "push/pending.h"
#include "push/turn.h"
#include "store/stage.h"

int outbox_new(const struct outbox_config *cfg, struct outbox **ret)
{
	struct outbox *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->options = cfg->options;
	o->content = cfg->content;
	o->store = cfg->store;
	o->journal = cfg->journal;
	options_times(cfg->options, &o->times);
	atomic_init(&o->draining, false);
	atomic_init(&o->writers, 0);
	atomic_init(&o->publications, 0);
	r = turns_new(&o->turns);
	if (r == 0)
		r = uploads_new(o, &o->uploads);
	if (r == 0)
		r = drafts_new(o, &o->drafts);
	if (r == 0)
		r = pendings_new(o, &o->pendings);
	if (r < 0) {
		outbox_free(o);
		return r;
	}
	*ret = o;
	return 0;
}

/* Pending images use uploads, drafts use both; what runs is ended first. */
void outbox_free(struct outbox *o)
{
	if (!o)
		return;
	atomic_store(&o->draining, true);
	leftovers_free(o->leftovers);
	uploads_stop(o->uploads);
	pendings_free(o->pendings);
	drafts_free(o->drafts);
	uploads_free(o->uploads);
	turns_free(o->turns);
	free(o);
}

/* What is pending is shown in any case; each try asks outbox_writable. */
int outbox_start(struct outbox *o)
{
	int r = 0;

	if (!o->options->read_only && !o->options->offline)
		r = leftovers_start(o, &o->leftovers);
	return r < 0 ? r : pendings_start(o->pendings);
}

int outbox_writable(struct outbox *o, struct repo *repo)
{
	int r;

	if (o->options->read_only)
		return -EROFS;
	if (atomic_load(&o->draining))
		return -ESHUTDOWN;
	r = journal_check(o->journal, NULL);
	if (r == 0)
		r = store_writable(o->store);
	if (r < 0)
		return r;
	if (o->options->offline)
		return -ENETDOWN;
	return content_allowed(o->content, repo_host(repo), repo_name(repo));
}

void outbox_drain(struct outbox *o)
{
	atomic_store(&o->draining, true);
}

bool outbox_busy(struct outbox *o)
{
	return atomic_load(&o->writers) > 0 ||
	       atomic_load(&o->publications) > 0 || uploads_busy(o->uploads);
}

size_t outbox_unfinished(struct outbox *o)
{
	return pendings_count(o->pendings);
}

void outbox_listen(struct outbox *o, const struct outbox_listener *l)
{
	o->listener = *l;
}

void outbox_changed(struct outbox *o, struct repo *r, const char *name)
{
	if (o->listener.changed)
		o->listener.changed(o->listener.arg, repo_host(r), repo_name(r),
				    name);
}

int outbox_fault(struct outbox *o, struct repo *r, const char *object,
		 int error, const char *fmt, ...)
{
	autostr text = {0};
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	content_report(o->content, repo_host(r), object ? object : repo_name(r),
		       error < 0 ? -error : error, text.buf ? text.buf : fmt);
	return error;
}

/* --- texts --- */

int outbox_print_transfers(struct outbox *o, struct str *out)
{
	return uploads_print(o->uploads, out);
}

int outbox_print_status(struct outbox *o, struct str *out)
{
	struct stage_stats spool = {0};
	struct upload_counts n;
	int r;

	uploads_count(o->uploads, &n);
	stage_stats(o->store, &spool);
	r = str_addf(out,
		     "outgoing:  %u uploads, %u queued; %u files being "
		     "written, %u images being published\n",
		     n.running, n.queued, atomic_load(&o->writers),
		     atomic_load(&o->publications));
	if (r == 0)
		r = str_addf(out, "pending:   %zu images (see pending)\n",
			     pendings_count(o->pendings));
	if (r == 0)
		r = str_addf(out, "spool:     %llu of %llu bytes, %llu files\n",
			     (unsigned long long)spool.bytes,
			     (unsigned long long)spool.size_bytes,
			     (unsigned long long)spool.stages);
	return r;
}

int outbox_print_json(struct outbox *o, struct str *out)
{
	struct stage_stats spool = {0};
	struct upload_counts n;

	uploads_count(o->uploads, &n);
	stage_stats(o->store, &spool);
	return str_addf(
		out,
		"\"outgoing\":{\"uploads\":%u,\"queued\":%u,\"sent\":%llu,"
		"\"writers\":%u,\"publications\":%u,\"pending\":%zu,"
		"\"spool\":{\"files\":%llu,\"bytes\":%llu,\"size\":%llu}}",
		n.running, n.queued, (unsigned long long)n.sent_bytes,
		atomic_load(&o->writers), atomic_load(&o->publications),
		pendings_count(o->pendings), (unsigned long long)spool.stages,
		(unsigned long long)spool.bytes,
		(unsigned long long)spool.size_bytes);
}
