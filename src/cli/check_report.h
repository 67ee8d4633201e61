/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The table of `registryfs check`: a row per ability, printed as soon as it is
 * known, or all of them as JSON at the end.  What rows say was sent by
 * strangers; nothing but printable ASCII reaches the terminal.
 */
#include <stdbool.h>
#include <stddef.h>

#include "util/str.h"

enum check_state { CHECK_YES, CHECK_NO, CHECK_UNKNOWN };

#define CHECK_ROWS_MAX 128

struct check_row {
	const char *name; /* static */
	enum check_state state;
	char *seen;
	char *advice; /* or NULL */
};

struct check_report {
	bool json;
	unsigned width; /* of the terminal; 0: lines are not broken */
	struct check_row rows[CHECK_ROWS_MAX];
	size_t len;
};

void check_report_init(struct check_report *p, bool json);
void check_report_done(struct check_report *p);
/* The first line, of what is checked. */
void check_report_title(struct check_report *p, const char *title);
/* Adds a row; what cannot be for lack of memory is left out. */
void check_row(struct check_report *p, const char *name, enum check_state state,
	       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* What to do about the last row. */
void check_advice(struct check_report *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Ends the last row: it is printed.  Done by whatever comes next, too. */
void check_report_flush(struct check_report *p);
struct check_result {
	const char *title, *host, *repository, *reference, *verdict;
	int status;
};
/* The last line, or the whole document.  -EIO: standard output is broken. */
int check_report_end(struct check_report *p, const struct check_result *r);
