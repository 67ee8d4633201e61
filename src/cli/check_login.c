/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are there: where the credential comes from, whether it is accepted,
 * by which scheme, what the token server gives.  Never the secret. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "util/auto.h"

/* Not without the words of whom we asked: a proxy's page is no registry. */
static void row_no_registry(struct check *c, const struct probe *p)
{
	check_row(&c->report, "registry", CHECK_NO,
		  "GET /v2/ is answered by HTTP status %d: %s", p->status,
		  p->text);
	if (p->status == 404)
		check_advice(&c->report,
			     "there is a server, but no registry at this name "
			     "and port");
	else if (p->status == 429)
		check_advice(&c->report, "it has been asked too often; wait");
	else if (p->status >= 500)
		check_advice(&c->report, "it is the registry's trouble; try "
					 "again later");
	check_fail(c, CHECK_UNREACHED);
}

/* A file or a helper is broken, and for no other one's sake is it ignored. */
static int row_no_credential(struct check *c)
{
	char words[640];

	check_row(&c->report, "log-in", CHECK_NO,
		  "the stored credential cannot be had, as said above");
	check_advice(&c->report, "mend what is named there, or %s",
		     check_login_words(c, words, sizeof(words)));
	check_fail(c, CHECK_REFUSED);
	return -EACCES;
}

static void row_refused(struct check *c, const struct probe *p,
			const struct probe_login *l)
{
	bool by_server = l->refused || p->error < 0;
	char words[640];

	if (c->source)
		check_row(&c->report, "log-in", CHECK_NO,
			  "%s the credential of %s%s%s%s",
			  by_server ? "the token server refuses"
				    : "it does not accept",
			  c->source, *p->text ? ": " : "", p->text,
			  p->status == 200
				  ? "; without it we are let in as nobody"
				  : "");
	else
		check_row(&c->report, "log-in", CHECK_NO,
			  "it wants a credential (%s), and none is stored for "
			  "it%s%s",
			  l->scheme, *p->text ? ": " : "", p->text);
	check_advice(&c->report, "%s",
		     check_login_words(c, words, sizeof(words)));
	if (p->status != 200)
		check_fail(c, CHECK_REFUSED);
}

static void row_login(struct check *c, const struct probe *p,
		      const struct probe_login *l)
{
	if (l->refused || p->error < 0 || p->status != 200) {
		row_refused(c, p, l);
		return;
	}
	if (strcmp(l->scheme, "none") == 0 || !l->known)
		check_row(&c->report, "log-in", CHECK_YES,
			  "nobody is asked to%s%s",
			  c->source ? "; not used: the credential of " : "",
			  c->source ? c->source : "");
	else if (c->source)
		check_row(&c->report, "log-in", CHECK_YES,
			  "%s, with the credential of %s", l->scheme,
			  c->source);
	else
		check_row(&c->report, "log-in", CHECK_YES,
			  "%s, as nobody: no credential is stored for this "
			  "registry",
			  l->scheme);
}

static void row_token(struct check *c, const struct probe_login *l)
{
	if (strcmp(l->scheme, "Bearer") != 0)
		return;
	if (!l->token_life_s)
		check_row(&c->report, "token", CHECK_NO,
			  "%s (service %s) gave none", l->realm, l->service);
	else
		check_row(&c->report, "token", CHECK_YES,
			  "%s (service %s), good for %" PRIu64
			  " s, then renewed",
			  l->realm, l->service, l->token_life_s);
}

static bool is_auth(int status)
{
	return status == 401 || status == 403;
}

int check_login(struct check *c)
{
	struct probe_login l;
	struct probe p;
	struct wait w;
	int r;

	check_wait(c, &w);
	r = probe_ping(c->there, &w, &p);
	if (r < 0)
		return r;
	probe_login(c->there, &l);
	c->identified = p.identified && !l.refused;
	if (p.error < 0 && !is_auth(p.status) && p.error != -EACCES) {
		check_refused(c, "registry", &p);
		check_fail(c, CHECK_UNREACHED);
		return p.error;
	}
	if (p.error < 0 && !p.status && !l.refused)
		return row_no_credential(c);
	if (p.error == 0 && p.status != 200 && !is_auth(p.status)) {
		row_no_registry(c, &p);
		return -EIO;
	}
	row_login(c, &p, &l);
	row_token(c, &l);
	return 0;
}
