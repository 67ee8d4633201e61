/* SPDX-License-Identifier: Apache-2.0 */
/* A row is held back until the next one comes, because its advice follows it.
 */
#include "cli/check_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/auto.h"
#include "util/json.h"

#define NAME_WIDTH 11
#define STATE_WIDTH 7
#define INDENT (NAME_WIDTH + 1 + STATE_WIDTH + 1)
#define WIDTH_MIN 40
#define TEXT_MAX ((size_t)8192)

static const char *const states[] = {
	[CHECK_YES] = "yes",
	[CHECK_NO] = "no",
	[CHECK_UNKNOWN] = "unknown",
};

static unsigned find_width(void)
{
	const char *columns = getenv("COLUMNS");
	unsigned long long n = 0;
	struct winsize size;

	if (isatty(STDOUT_FILENO) &&
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		n = size.ws_col;
	else if (!columns || str_to_u64(columns, 10000, &n) < 0)
		n = isatty(STDOUT_FILENO) ? 80 : 0;
	return n && n < WIDTH_MIN ? WIDTH_MIN : (unsigned)n;
}

void check_report_init(struct check_report *p, bool json)
{
	memset(p, 0, sizeof(*p));
	p->json = json;
	p->width = find_width();
}

void check_report_done(struct check_report *p)
{
	for (size_t i = 0; i < p->len; i++) {
		free(p->rows[i].seen);
		free(p->rows[i].advice);
	}
	p->len = 0;
}

/* Printable ASCII only: a terminal obeys other characters, too. */
static char *escape(const char *s)
{
	autostr out = {.max = TEXT_MAX * 4};
	int r = str_add(&out, "");

	for (; *s && r == 0; s++) {
		if (*s >= ' ' && *s <= '~')
			r = str_addc(&out, *s);
		else
			r = str_addf(&out, "\\x%02x", (unsigned char)*s);
	}
	return r < 0 ? NULL : str_steal(&out);
}

static char *format(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

static char *format(const char *fmt, va_list ap)
{
	autostr text = {.max = TEXT_MAX};

	if (str_vaddf(&text, fmt, ap) < 0)
		return NULL;
	return escape(text.buf);
}

/* From column `at`, broken at blanks; what follows begins at `indent`. */
static void print_wrapped(const struct check_report *p, const char *s,
			  unsigned indent)
{
	unsigned room = p->width > indent ? p->width - indent : 0;

	while (room && strlen(s) > room) {
		size_t n = room;

		while (n > 0 && s[n] != ' ')
			n--;
		if (n == 0) /* a word that is too long stays whole */
			n = strcspn(s, " ");
		printf("%.*s\n", (int)n, s);
		s += n + strspn(s + n, " ");
		if (*s)
			printf("%*s", (int)indent, "");
		else
			return;
	}
	puts(s);
}

static void print_row(const struct check_report *p, const struct check_row *row)
{
	printf("%-*s %-*s ", NAME_WIDTH, row->name, STATE_WIDTH,
	       states[row->state]);
	print_wrapped(p, row->seen, INDENT);
	if (!row->advice)
		return;
	printf("%*s-> ", INDENT, "");
	print_wrapped(p, row->advice, INDENT + 3);
}

/* What was printed is not kept. */
void check_report_flush(struct check_report *p)
{
	if (p->json || p->len == 0)
		return;
	print_row(p, &p->rows[0]);
	fflush(stdout);
	check_report_done(p);
}

void check_report_title(struct check_report *p, const char *title)
{
	autofree char *text = escape(title);

	if (p->json || !text)
		return;
	printf("%s\n\n%-*s %-*s %s\n", text, NAME_WIDTH, "WHAT", STATE_WIDTH,
	       "WORKS", "WHAT WAS SEEN");
	fflush(stdout);
}

void check_row(struct check_report *p, const char *name, enum check_state state,
	       const char *fmt, ...)
{
	struct check_row row = {.name = name, .state = state};
	va_list ap;

	check_report_flush(p);
	if (p->len == CHECK_ROWS_MAX)
		return;
	va_start(ap, fmt);
	row.seen = format(fmt, ap);
	va_end(ap);
	if (row.seen)
		p->rows[p->len++] = row;
}

void check_advice(struct check_report *p, const char *fmt, ...)
{
	struct check_row *row;
	va_list ap;

	if (p->len == 0)
		return;
	row = &p->rows[p->len - 1];
	free(row->advice);
	va_start(ap, fmt);
	row->advice = format(fmt, ap);
	va_end(ap);
}

static int add_member(struct str *out, const char *name, const char *value)
{
	int r = str_addf(out,
			 "%s\"%s\":", out->buf[out->len - 1] == '{' ? "" : ",",
			 name);

	return r < 0 ? r : json_add_string(out, value);
}

static int add_row(struct str *out, const struct check_row *row)
{
	int r = str_addc(out, '{');

	if (r == 0)
		r = add_member(out, "name", row->name);
	if (r == 0)
		r = add_member(out, "works", states[row->state]);
	if (r == 0)
		r = add_member(out, "seen", row->seen);
	if (r == 0 && row->advice)
		r = add_member(out, "advice", row->advice);
	return r < 0 ? r : str_addc(out, '}');
}

static int add_head(struct str *out, const struct check_result *r)
{
	int e = str_addc(out, '{');

	if (e == 0)
		e = add_member(out, "host", r->host);
	if (e == 0 && *r->repository)
		e = add_member(out, "repository", r->repository);
	if (e == 0 && *r->reference)
		e = add_member(out, "reference", r->reference);
	if (e == 0)
		e = add_member(out, "verdict", r->verdict);
	return e < 0 ? e
		     : str_addf(out, ",\"status\":%d,\"rows\":[", r->status);
}

static int print_json(const struct check_report *p,
		      const struct check_result *result)
{
	autostr out = {.max = 0};
	int r = add_head(&out, result);

	for (size_t i = 0; r == 0 && i < p->len; i++) {
		r = str_add(&out, i ? ",\n " : "\n ");
		if (r == 0)
			r = add_row(&out, &p->rows[i]);
	}
	if (r == 0)
		r = str_add(&out, "\n]}");
	if (r < 0)
		return r;
	puts(out.buf);
	return 0;
}

int check_report_end(struct check_report *p, const struct check_result *result)
{
	int r = 0;

	if (p->json) {
		r = print_json(p, result);
	} else {
		check_report_flush(p);
		putchar('\n');
		print_wrapped(p, result->verdict, 0);
	}
	if (r == 0 && (fflush(stdout) == EOF || ferror(stdout)))
		r = -EIO;
	return r;
}
