/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A check under way.  check_connect.c, check_login.c, check_read.c and
 * check_write.c fill the table row by row; each leaves out what a failed one
 * has made impossible, saying so.
 */
#include <stdbool.h>
#include <stdint.h>

#include "cli/app.h"
#include "cli/check_name.h"
#include "cli/check_report.h"
#include "oci/manifest.h"
#include "registry/probe.h"

enum check_status {
	CHECK_OK = 0, /* what was named can be read */
	CHECK_USAGE = 1,
	CHECK_UNREACHED = 2,  /* name, network, TLS, or it is no registry */
	CHECK_REFUSED = 3,    /* the log-in, or reading is not permitted */
	CHECK_UNREADABLE = 4, /* it is not there, or does not come as it is */
};

struct check {
	struct app app;
	struct options options;
	struct option_times times;
	struct check_name name;
	bool no_push, json;

	struct check_report report;
	uint64_t deadline_ms;	  /* of the whole check */
	size_t faults_before;	  /* this step */
	enum check_status status; /* the first thing that went wrong */

	struct registry *registry;
	struct probe_places places;
	struct registry *there; /* where it really is, and under which name */
	const char *there_name;
	char place[256]; /* its host: whose credentials are used */
	char *source;	 /* of the credential: "/root/.docker/config.json" */
	bool identified; /* it was sent */
	bool is_there;	 /* the repository */
	char ref[REFERENCE_TAG_MAX + DIGEST_TEXT_MAX]; /* to be read; or "" */
	struct manifest *manifest; /* of this machine's platform */
};

/* Before each step: the patience for it. */
void check_wait(struct check *c, struct wait *w);
bool check_is_over(const struct check *c); /* interrupted, or time is up */
void check_fail(struct check *c, enum check_status status);
/* A row for what did not work, with what can generally be done about it. */
void check_refused(struct check *c, const char *row, const struct probe *p);
/* The same for what recorded its failure. */
void check_failed(struct check *c, const char *row, int r);
/* What is left out: "unknown". */
void check_skip(struct check *c, const char *row, const char *why);
/* "docker login registry.example.com" */
const char *check_login_words(const struct check *c, char *buf, size_t size);

/* -errno: there is nothing to go on with. */
int check_connect(struct check *c);
int check_login(struct check *c);
void check_read(struct check *c);
void check_catalogue(struct check *c);
void check_tags(struct check *c);
void check_blob(struct check *c);
void check_ranges(struct check *c);
void check_write(struct check *c);
/* While something is open at the registry, ^C waits for its end. */
void check_hold(bool on);
