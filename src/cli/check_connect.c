/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the name to an answer: which place it is and where that is written,
 * address, proxy, TLS, the two clocks.  What is not reached has its reason in
 * one of these rows, and nothing else is asked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "config/hostname.h"
#include "util/auto.h"
#include "util/clock.h"

#define SKEW_MAX_S 60
#define EXPIRY_WARN_S ((int64_t)14 * 86400)

static void row_name(struct check *c)
{
	const struct check_name *n = &c->name;
	const struct reference *ref = &n->ref;
	char digest[DIGEST_TEXT_MAX] = "";

	if (ref->has_digest)
		digest_format(&ref->digest, digest);
	check_row(&c->report, "name", CHECK_YES, "%s%s%s%s%s%s%s%s%s%s%s",
		  ref->host, *ref->repository ? ", repository " : "",
		  ref->repository, *ref->tag ? ", tag " : "", ref->tag,
		  *digest ? ", digest " : "", digest,
		  n->is_short ? "; a name without a host is Docker Hub's" : "",
		  n->is_official ? "; Docker Hub keeps its official images "
				   "beneath library/"
				 : "",
		  n->is_page ? "; taken from the address of a web page" : "",
		  n->is_api ? "; taken from the address of its API" : "");
	if (n->is_hostish)
		check_advice(&c->report,
			     "this was taken for a host and its port; the "
			     "image is docker.io/library/%s",
			     ref->host);
}

static void row_blocked(struct check *c, const char *where)
{
	check_row(&c->report, "endpoint", CHECK_NO, "it is blocked, see %s",
		  where);
	check_advice(&c->report, "take `blocked` out there, if it may be used");
	check_fail(c, CHECK_REFUSED);
}

static void row_off_list(struct check *c)
{
	const struct reference *ref = &c->name.ref;

	check_row(&c->report, "endpoint", CHECK_NO, "%s%s%s %s", ref->host,
		  *ref->repository ? "/" : "", ref->repository,
		  allow_reason(c->app.allow));
	check_advice(&c->report, "add allow=%s%s%s", ref->host,
		     *ref->repository ? "/" : "/**", ref->repository);
	check_fail(c, CHECK_REFUSED);
}

/* Rows for what stands in between, as far as it is written. */
static void row_mirror(struct check *c, const struct probe_place *m)
{
	char status[32] = "";
	struct probe p;
	struct wait w;

	check_wait(c, &w);
	if (probe_ping(m->registry, &w, &p) < 0)
		return;
	if (p.error == 0 && p.status < 500 && p.status != 404) {
		check_row(&c->report, "mirror", CHECK_YES,
			  "%s (%s) is asked first, and answers%s", m->where,
			  m->written,
			  p.status == 200 ? "" : ", but does not let us in");
		return;
	}
	if (p.status)
		snprintf(status, sizeof(status), "HTTP status %d: ", p.status);
	check_row(&c->report, "mirror", CHECK_NO, "%s (%s): %s%s", m->where,
		  m->written, status, p.text);
	check_advice(&c->report,
		     "reads go on at the next place; repair it or take it out "
		     "of %s",
		     m->written);
}

static void advise_unreached(struct check *c, const struct probe_reach *p)
{
	switch ((int)p->answer.fail) {
	case HTTP_FAIL_DNS:
	case HTTP_FAIL_DNS_AGAIN:
		check_advice(&c->report,
			     "is the name right?  Which server resolves names "
			     "is in /etc/resolv.conf; a proxy is named by "
			     "https_proxy in the environment");
		break;
	case HTTP_FAIL_REFUSED:
		check_advice(&c->report,
			     "nothing listens there: is it running, is the "
			     "port right (HOST:PORT)?");
		break;
	case HTTP_FAIL_UNREACHABLE:
	case HTTP_FAIL_CONNECT:
	case HTTP_FAIL_STALL:
		check_advice(&c->report,
			     "a firewall, or a proxy that is needed "
			     "(https_proxy in the environment)?  --timeout= "
			     "waits longer");
		break;
	default:
		if (p->talks_plain)
			check_advice(&c->report,
				     "it speaks http without TLS: mount with "
				     "plain_http=%s if the network in between "
				     "can be trusted",
				     p->host);
		break;
	}
}

/* Where the CA of a host belongs that only this user trusts. */
static void advise_ca(struct check *c, const struct probe_reach *p)
{
	const char *host = hostname_canonical(p->host);

	check_advice(&c->report,
		     "put its CA's certificate into "
		     "~/.config/containers/certs.d/%s/ca.crt (or "
		     "/etc/containers/certs.d/%s/ca.crt); insecure=%s goes "
		     "without verifying",
		     host, host, p->host);
}

static void row_refused_certificate(struct check *c,
				    const struct probe_reach *p)
{
	char until[32] = "";

	clock_format_rfc3339(p->cert.until, until);
	check_row(&c->report, "tls", CHECK_NO,
		  "%s; its certificate is for %s, signed by %s%s, good until "
		  "%s",
		  p->reason, p->cert.names[0] ? p->cert.names : p->cert.subject,
		  p->cert.is_own ? "itself: " : "", p->cert.issuer, until);
	if (p->cert.until < clock_wall())
		check_advice(&c->report,
			     "it has ended: the registry needs a new one");
	else if (p->cert.from > clock_wall())
		check_advice(&c->report,
			     "it is not good yet: is this machine's clock "
			     "right?");
	else if (strstr(p->reason, "does not match") ||
		 strstr(p->reason, "no alternative certificate"))
		check_advice(&c->report,
			     "use a name that it is for, or give the registry "
			     "a certificate for %s",
			     p->host);
	else
		advise_ca(c, p);
}

/* Of "OpenSSL/3.0: error:0A00010B:SSL routines::wrong version number". */
static const char *short_reason(const struct probe_reach *p)
{
	const char *colons = strstr(p->reason, "::");

	return colons ? colons + 2 : p->reason;
}

static void row_tls(struct check *c, const struct probe_reach *p)
{
	int64_t left = p->cert.until - clock_wall();
	char until[32] = "";

	if (p->has_cert)
		clock_format_rfc3339(p->cert.until, until);
	if (!p->https) {
		check_row(&c->report, "tls", CHECK_NO,
			  p->fell_back
				  ? "none: plain http, as on loopback where "
				    "TLS fails (%s)"
				  : "none: plain http, as is configured%s",
			  short_reason(p));
		if (!p->is_loopback)
			check_advice(&c->report,
				     "everybody in between can read and change "
				     "it; secrets are sent in the clear");
		return;
	}
	check_row(&c->report, "tls", p->insecure ? CHECK_NO : CHECK_YES,
		  "%s, %s; signed by %s%s, good until %s",
		  p->tls[0] ? p->tls : "TLS",
		  p->insecure ? "certificate NOT verified"
		  : p->own_ca ? "verified by CAs of certs.d or the system's"
			      : "verified by the system's CAs",
		  p->cert.is_own ? "itself: " : "",
		  p->has_cert ? p->cert.issuer : "?",
		  p->has_cert ? until : "?");
	if (p->insecure)
		advise_ca(c, p);
	else if (p->has_cert && left < EXPIRY_WARN_S)
		check_advice(&c->report,
			     "it ends in %" PRId64 " days: the registry needs "
			     "a new one soon",
			     left / 86400);
}

static void row_endpoint(struct check *c, const struct probe_reach *p)
{
	const struct probe_place *last = &c->places.v[c->places.len - 1];
	bool ok = p->answer.error == 0;

	check_row(&c->report, "endpoint", ok ? CHECK_YES : CHECK_NO,
		  "%s%s%s%s%s%s%s%s%s", p->url,
		  p->address[0] ? (p->proxy[0] ? " by way of " : " at ") : "",
		  p->address, p->proxy[0] ? ", proxy " : "", p->proxy,
		  last->written ? ", by " : "",
		  last->written ? last->written : "",
		  ok ? (p->http2 ? ", HTTP/2" : ", HTTP/1.1") : ": ",
		  ok ? "" : p->answer.text);
	if (!ok)
		advise_unreached(c, p);
}

static void row_clock(struct check *c, const struct probe_reach *p)
{
	int64_t ahead = p->ahead_s;

	if (!p->has_date) {
		check_row(&c->report, "clock", CHECK_UNKNOWN,
			  "it does not tell its time");
		return;
	}
	if (ahead >= -SKEW_MAX_S && ahead <= SKEW_MAX_S) {
		check_row(&c->report, "clock", CHECK_YES,
			  "both clocks agree within %d s", SKEW_MAX_S);
		return;
	}
	check_row(&c->report, "clock", CHECK_NO,
		  "this machine's clock is %" PRId64 " s %s that of the "
		  "registry",
		  ahead < 0 ? -ahead : ahead,
		  ahead < 0 ? "ahead of" : "behind");
	check_advice(&c->report,
		     "tokens and signed URLs may be refused: set the clock "
		     "(timedatectl set-ntp true)");
}

static int reach(struct check *c)
{
	struct probe_reach p;
	struct wait w;
	int r;

	check_wait(c, &w);
	r = probe_reach(c->there, &w, &p);
	if (r < 0)
		return r;
	if (p.host[0])
		memcpy(c->place, p.host, sizeof(p.host));
	row_endpoint(c, &p);
	if (p.answer.error < 0) {
		if (p.reason[0] && p.has_cert)
			row_refused_certificate(c, &p);
		check_fail(c, CHECK_UNREACHED);
		return p.answer.error;
	}
	row_tls(c, &p);
	row_clock(c, &p);
	return 0;
}

int check_connect(struct check *c)
{
	const struct reference *ref = &c->name.ref;
	const char *where =
		hosts_blocked(c->app.hosts, ref->host, ref->repository);

	row_name(c);
	if (where) {
		row_blocked(c, where);
		return -EPERM;
	}
	if (!c->registry ||
	    (*ref->repository &&
	     !allow_exact(c->app.allow, ref->host, ref->repository))) {
		row_off_list(c);
		return -EPERM;
	}
	for (size_t i = 0; i + 1 < c->places.len; i++)
		row_mirror(c, &c->places.v[i]);
	return reach(c);
}
