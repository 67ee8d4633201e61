/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries on a registry what a mount would do, and says of each ability whether
 * it is there, what was seen, and what the user can do if not.
 *
 * A signal ends every wait, after which all is taken down in order (temporary
 * files, an open upload session); a second one ends the process.
 */
#include "cli/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/check.h"
#include "config/commandline.h"
#include "registry/login.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/log.h"

#define BUDGETS 3 /* of a look-up, for all together */

static volatile sig_atomic_t held, stopped;

static void on_stop(int sig)
{
	stopped = sig;
	if (!held)
		wait_quit();
}

void check_hold(bool on)
{
	held = on;
	if (!on && stopped)
		wait_quit();
}

static void catch_signals(void)
{
	struct sigaction a = {.sa_handler = on_stop,
			      .sa_flags = SA_RESTART | (int)SA_RESETHAND};

	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
}

void check_wait(struct check *c, struct wait *w)
{
	uint64_t now = clock_ms();
	uint64_t left = now < c->deadline_ms ? c->deadline_ms - now : 0;

	check_report_flush(&c->report);
	c->faults_before = fault_log_count(c->app.faults);
	wait_init(w, left < c->times.meta_budget ? left : c->times.meta_budget,
		  0);
}

bool check_is_over(const struct check *c)
{
	return wait_quitting() || clock_ms() >= c->deadline_ms;
}

void check_fail(struct check *c, enum check_status status)
{
	if (c->status == CHECK_OK)
		c->status = status;
}

const char *check_login_words(const struct check *c, char *buf, size_t size)
{
	const char *host = c->place;
	bool hub = strcmp(host, "docker.io") == 0;

	snprintf(buf, size, "docker login%s%s, or podman login %s",
		 hub ? "" : " ", hub ? "" : host, host);
	return buf;
}

void check_skip(struct check *c, const char *row, const char *why)
{
	check_row(&c->report, row, CHECK_UNKNOWN, "%s", why);
}

static void advise(struct check *c, const struct probe *p)
{
	char words[640];

	if (p->status == 401 || p->status == 403 || p->error == -EACCES) {
		if (c->identified)
			check_advice(&c->report,
				     "the account of %s lacks the right to; "
				     "ask the registry's owner, or log in as "
				     "another",
				     c->source ? c->source : "the log-in");
		else
			check_advice(
				&c->report, "log in: %s",
				check_login_words(c, words, sizeof(words)));
	} else if (p->status == 429) {
		check_advice(&c->report, "it was asked too often: wait%s",
			     c->identified ? ""
					   : ", or log in for a limit of "
					     "your own");
	} else if (p->status >= 500) {
		check_advice(&c->report,
			     "it is the registry's trouble; try again later");
	} else if (p->error == -ETIMEDOUT) {
		check_advice(&c->report,
			     "is it slow?  --timeout= waits longer (now %u s)",
			     c->options.timeout_s);
	}
}

void check_refused(struct check *c, const char *row, const struct probe *p)
{
	if (check_is_over(c) && !p->status) {
		check_skip(c, row,
			   wait_quitting() ? "interrupted"
					   : "no time was left");
		return;
	}
	if (p->status)
		check_row(&c->report, row, CHECK_NO, "HTTP status %d: %s%s%s",
			  p->status, p->code, p->code[0] ? ", " : "", p->text);
	else
		check_row(&c->report, row, CHECK_NO, "%s", p->text);
	advise(c, p);
}

void check_failed(struct check *c, const char *row, int r)
{
	bool told = fault_log_count(c->app.faults) > c->faults_before;
	struct probe p = {.error = r};
	struct fault f;

	if (told &&
	    fault_log_last(c->app.faults, c->name.ref.host, "", &f) == 0) {
		p.status = f.status;
		snprintf(p.text, sizeof(p.text), "%s", f.text);
	} else {
		snprintf(p.text, sizeof(p.text), "%s",
			 r == -ENOENT ? "the registry knows no such thing"
				      : strerror(-r));
	}
	check_refused(c, row, &p);
}

static const char *verdict(const struct check *c)
{
	bool repository = c->name.ref.repository[0];

	if (wait_quitting())
		return "Interrupted.";
	switch (c->status) {
	case CHECK_OK:
		return !repository ? "The registry can be used; name a "
				     "repository to see what can be read."
		       : c->ref[0] ? "It can be read."
				   : "It can be read, and is empty.";
	case CHECK_UNREACHED:
		return "The registry cannot be reached.";
	case CHECK_REFUSED:
		return "It is not permitted to read this.";
	case CHECK_UNREADABLE:
		return "This cannot be read.";
	case CHECK_USAGE:
		break;
	}
	return "It could not be checked.";
}

static void set_reference(struct check *c)
{
	if (c->name.ref.has_digest)
		digest_format(&c->name.ref.digest, c->ref);
	else
		snprintf(c->ref, sizeof(c->ref), "%s", c->name.ref.tag);
}

/* The files are read here, so that what is wrong with them is told before the
 * table begins. */
static int prepare(struct check *c)
{
	const struct reference *ref = &c->name.ref;
	const struct probe_place *last;
	struct wait w;
	int r = registries_get(c->app.registries, ref->host, &c->registry);

	wait_init(&w, c->times.meta_budget, 0);
	if (r == 0)
		r = probe_places(c->registry, ref->repository, &w, &c->places);
	if (r < 0)
		return r;
	last = &c->places.v[c->places.len - 1];
	c->there = last->registry;
	c->there_name = last->repository;
	r = login_where(c->there, c->there_name, &c->source);
	return r == -EACCES ? 0 : r;
}

static int check_run(struct check *c)
{
	struct check_result result = {.host = c->name.ref.host,
				      .repository = c->name.ref.repository,
				      .reference = c->ref};
	autofree char *title = NULL;
	int r;

	title = str_printf("%s%s%s", c->name.ref.host,
			   c->name.ref.repository[0] ? "/" : "",
			   c->name.ref.repository);
	r = title ? prepare(c) : -ENOMEM;
	if (r < 0 && r != -EPERM)
		return CHECK_USAGE;
	/* The table says the same in better words. */
	log_set_level(c->options.log_level > LOG_LEVEL_WARNING
			      ? c->options.log_level
			      : LOG_LEVEL_ERROR);
	c->deadline_ms = clock_ms() + (uint64_t)c->times.meta_budget * BUDGETS;
	set_reference(c);
	snprintf(c->place, sizeof(c->place), "%s", c->name.ref.host);
	check_report_title(&c->report, title);
	r = check_connect(c);
	if (r == 0)
		r = check_login(c);
	if (r == 0)
		check_read(c);
	if (r == 0)
		check_write(c);
	result.verdict = verdict(c);
	result.status = (int)c->status;
	return check_report_end(&c->report, &result) < 0 ? CHECK_USAGE
							 : (int)c->status;
}

/* Takes our own words out of argv; what is left is for the options. */
static int take_words(struct check *c, int argc, char **argv, char **ret)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			c->json = true;
		else if (strcmp(argv[i], "--no-push") == 0)
			c->no_push = true;
		else
			ret[n++] = argv[i];
	}
	return n;
}

/* The index of the one word that is no option, or of its value. */
static int find_name(int argc, char **argv)
{
	struct commandline line = {.v = NULL};
	autostr why = {.max = 0};
	int found = 0;

	if (commandline_parse(argc, argv, &line, &why) < 0)
		fprintf(stderr, "registryfs: %s\n", why.len ? why.buf : "?");
	else if (line.positionals == 1)
		for (int i = 1; i < argc; i++)
			if (strcmp(argv[i], line.positional[0]) == 0)
				found = i;
	commandline_done(&line);
	return found;
}

static int parse_name(struct check *c, const char *text)
{
	const char *reason = "";
	int r = check_name_parse(text, &c->name, &reason);

	if (r < 0)
		fprintf(stderr, "registryfs: what is to be checked %s\n",
			reason);
	return r;
}

/* The options of a mount, for which the name is no SOURCE: that would be
 * allowed whatever the allow list says. */
static int read_options(struct check *c, int argc, char **argv)
{
	autofree char **v = calloc((size_t)argc + 2, sizeof(*v));
	char nowhere[] = "/";
	int n, at, r;

	if (!v)
		return -ENOMEM;
	n = take_words(c, argc, argv, v);
	at = find_name(n, v);
	if (at == 0) {
		command_usage(&cmd_check);
		return -EINVAL;
	}
	r = parse_name(c, v[at]);
	if (r < 0)
		return r;
	v[at] = nowhere;
	r = options_parse(n, v, &c->options);
	if (r == 0 && c->name.plain_http)
		r = string_list_add_once(&c->options.plain_http,
					 c->name.ref.host);
	if (r < 0)
		return r;
	options_times(&c->options, &c->times);
	log_set_level(LOG_LEVEL_WARNING);
	if (!c->options.offline)
		return 0;
	fputs("registryfs: offline is set, so nobody can be asked\n", stderr);
	return -EINVAL;
}

static void check_done(struct check *c)
{
	probe_places_done(&c->places);
	manifest_free(c->manifest);
	check_report_done(&c->report);
	app_close(&c->app);
	options_done(&c->options);
	free(c->source);
	free(c);
}

static int run(int argc, char **argv)
{
	struct check *c = calloc(1, sizeof(*c));
	int status = CHECK_USAGE;

	if (!c)
		return CHECK_USAGE;
	catch_signals();
	if (read_options(c, argc, argv) == 0) {
		check_report_init(&c->report, c->json);
		if (app_open(&c->options, &c->app) == 0)
			status = check_run(c);
	}
	check_done(c);
	if (stopped) {
		raise(stopped); /* its default by now */
		return 128 + stopped;
	}
	return status;
}

const struct command cmd_check = {
	.name = "check",
	.usage = "[options] [--json] [--no-push] HOST[/REPOSITORY][:TAG]",
	.help = "what works with this registry, what does not, and why",
	.run = run,
};
