/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/log.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What the statement writes to stderr, in `out`. */
#define CAPTURE(out, statement)                                                \
	do {                                                                   \
		int saved_ = dup(STDERR_FILENO);                               \
		int file_ = memfd_create("log", 0);                            \
		dup2(file_, STDERR_FILENO);                                    \
		statement;                                                     \
		dup2(saved_, STDERR_FILENO);                                   \
		close(saved_);                                                 \
		memset(out, 0, sizeof(out));                                   \
		assert_true(pread(file_, out, sizeof(out) - 1, 0) >= 0);       \
		close(file_);                                                  \
	} while (0)

static char got[8192];

static void one_line(void **state)
{
	CAPTURE(got, log_warning("%s answered %d", "host", 503));
	assert_string_equal(got, "registryfs: warning: host answered 503\n");
	CAPTURE(got, log_error("x"));
	assert_string_equal(got, "registryfs: error: x\n");
}

static void levels(void **state)
{
	static const char *const names[] = {"error", "warning", "info",
					    "debug"};
	enum log_level before = log_get_level(), level;
	char want[64];

	for (size_t i = 0; i < COUNT(names); i++) {
		level = (enum log_level)77;
		assert_int_equal(log_level_parse(names[i], &level), 0);
		assert_int_equal(level, i);
		log_set_level(level);
		assert_int_equal(log_get_level(), level);
		CAPTURE(got, log_write(level, "shown"));
		snprintf(want, sizeof(want), "registryfs: %s: shown\n",
			 names[i]);
		assert_string_equal(got, want);
		CAPTURE(got, log_write((enum log_level)(i + 1), "hidden"));
		assert_string_equal(got, "");
	}
	log_set_level(before);
	level = LOG_LEVEL_INFO;
	assert_int_equal(log_level_parse("Error", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(log_level_parse("errors", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_INFO);
}

static void cannot_be_forged(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{"a\nregistryfs: error: b", "a\\x0aregistryfs: error: b"},
		{"\r\t\x1b[2J\x7f", "\\x0d\\x09\\x1b[2J\\x7f"},
		{"\xc3\xa4 \xe2\x82\xac", "\xc3\xa4 \xe2\x82\xac"},
		{"\xc2\x9bH \xc2\xa0", "\\xc2\\x9bH \xc2\xa0"},
		{"\x9bH\xff\xc3", "\\x9bH\\xff\\xc3"},
	};
	char want[128];

	for (size_t i = 0; i < COUNT(t); i++) {
		CAPTURE(got, log_warning("%s", t[i].in));
		snprintf(want, sizeof(want), "registryfs: warning: %s\n",
			 t[i].out);
		assert_string_equal(got, want);
	}
}

static void long_lines_are_cut(void **state)
{
	char text[5000];

	memset(text, '\n', sizeof(text));
	text[sizeof(text) - 1] = 0;
	CAPTURE(got, log_warning("%s", text));
	assert_in_range(strlen(got), 1000, 5000);
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
}

static void keeps_errno(void **state)
{
	int r;

	CAPTURE(got, (close(STDERR_FILENO), errno = ENOTTY, log_error("x"),
		      r = errno));
	assert_int_equal(r, ENOTTY);
}

/* In the background nothing goes to stderr (the last test: no way back). */
static void syslog_instead(void **state)
{
	CAPTURE(got, (log_to_syslog("registryfs-test"), log_warning("x")));
	assert_string_equal(got, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line),
		cmocka_unit_test(levels),
		cmocka_unit_test(cannot_be_forged),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(keeps_errno),
		cmocka_unit_test(syslog_instead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
