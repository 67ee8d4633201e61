/* SPDX-License-Identifier: Apache-2.0 */
/* AWS keys: the file's grammar, and which place goes first. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/awscred.h"
#include "util/auto.h"
#include "util/log.h"
#include "util/str.h"

#define PAIR "aws_access_key_id=I\naws_secret_access_key=S\n"

static const struct {
	const char *text, *profile;
	int error;
	const char *id, *secret, *session;
} files[] = {
	{"[default]\n" PAIR, "default", 0, "I", "S", NULL},
	{"[default]\r\naws_access_key_id = I\r\naws_secret_access_key = S\r\n",
	 "default", 0, "I", "S", NULL},
	{"[ default ]  # mine\n" PAIR "aws_session_token=a=b==\n", "default", 0,
	 "I", "S", "a=b=="},
	{"[a]\n" PAIR "[b]\naws_access_key_id=J\naws_secret_access_key=T", "b",
	 0, "J", "T", NULL},
	/* The last word counts, and sections may come in parts. */
	{"[a]\naws_access_key_id=X\n[b]\n[a]\n" PAIR, "a", 0, "I", "S", NULL},
	{"[a]\nAWS_Access_Key_ID=I ; as given\naws_secret_access_key=S #x\n",
	 "a", 0, "I", "S", NULL},
	{"[a]\n" PAIR " aws_access_key_id = deeper\n", "a", 0, "I", "S", NULL},
	{"[a]\n" PAIR "nonsense\n[b\n", "a", 0, "I", "S", NULL},
	{"[a]\n" PAIR "aws_security_token=old\n", "a", 0, "I", "S", "old"},
	{"\xef\xbb\xbf" PAIR, "default", -ENOENT, NULL, NULL, NULL},
	{"", "default", -ENOENT, NULL, NULL, NULL},
	{PAIR, "default", -ENOENT, NULL, NULL, NULL},
	{"[profile a]\n" PAIR, "a", -ENOENT, NULL, NULL, NULL},
	{"[a]\naws_access_key_id=I\n", "a", -EINVAL, NULL, NULL, NULL},
	{"[a]\naws_access_key_id=\naws_secret_access_key=S\n", "a", -EINVAL,
	 NULL, NULL, NULL},
	{"[a]\n" PAIR "aws_session_token=caf\xc3\xa9\n", "a", -EINVAL, NULL,
	 NULL, NULL},
	{"[a]\nrole_arn=arn:aws:iam::1:role/x\n", "a", -EINVAL, NULL, NULL,
	 NULL},
};

static void same(const char *a, const char *b)
{
	if (b)
		assert_string_equal(a, b);
	else
		assert_null(a);
}

static void test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		autoawskeys k = {.id = NULL};
		const char *reason = NULL;

		assert_int_equal(
			awscred_parse(files[i].text, strlen(files[i].text),
				      files[i].profile, "test", &k, &reason),
			files[i].error);
		same(k.id, files[i].id);
		same(k.secret, files[i].secret);
		same(k.session, files[i].session);
		assert_int_equal(reason != NULL, files[i].error == -EINVAL);
	}
}

static void test_long_value(void **state)
{
	autostr text = {.len = 0};
	autoawskeys k = {.id = NULL};
	const char *reason;

	assert_int_equal(str_add(&text, "[a]\n" PAIR "aws_session_token="), 0);
	for (size_t i = 0; i <= AWSCRED_VALUE_MAX; i++)
		assert_int_equal(str_addc(&text, 'x'), 0);
	assert_int_equal(
		awscred_parse(text.buf, text.len, "a", "test", &k, &reason),
		-EINVAL);
	assert_int_equal(
		awscred_parse(text.buf, text.len - 1, "a", "test", &k, &reason),
		0);
	assert_int_equal(strlen(k.session), AWSCRED_VALUE_MAX);
}

/* --- where they are --- */

static char folder[] = "/tmp/test-awscred-XXXXXX";
static char path[64];

static void write_file(const char *text, mode_t mode)
{
	FILE *f;

	unlink(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
	static const char *const names[] = {"AWS_ACCESS_KEY_ID",
					    "AWS_SECRET_ACCESS_KEY",
					    "AWS_SESSION_TOKEN", "AWS_PROFILE"};
	struct awscred *a;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unsetenv(names[i]);
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	unlink(path);
	if (awscred_new(&a) < 0)
		return -1;
	*state = a;
	return 0;
}

static int tear_down(void **state)
{
	awscred_free(*state);
	return 0;
}

static void expect(struct awscred *a, int error, const char *id)
{
	autoawskeys k = {.id = NULL};

	assert_int_equal(awscred_find(a, &k), error);
	same(k.id, id);
}

static void test_variables_first(void **state)
{
	write_file("[default]\n" PAIR, 0600);
	expect(*state, 0, "I");
	setenv("AWS_ACCESS_KEY_ID", "J", 1);
	expect(*state, -EACCES, NULL);
	setenv("AWS_SECRET_ACCESS_KEY", "T", 1);
	expect(*state, 0, "J");
	setenv("AWS_SESSION_TOKEN", "two\nlines", 1);
	expect(*state, -EACCES, NULL);
	setenv("AWS_SESSION_TOKEN", "", 1);
	expect(*state, 0, "J");
}

static void test_file_changes(void **state)
{
	expect(*state, -ENOENT, NULL);
	write_file("[default]\n" PAIR, 0600);
	expect(*state, 0, "I");
	write_file("[default]\naws_access_key_id=K\naws_secret_access_key=U\n",
		   0600);
	expect(*state, 0, "K");
	unlink(path);
	expect(*state, -ENOENT, NULL);
	/* What comes back looks as before. */
	write_file("[default]\n" PAIR, 0600);
	expect(*state, 0, "I");
}

static void test_file_not_trusted(void **state)
{
	write_file("[default]\n" PAIR, 0622);
	expect(*state, -EACCES, NULL);
	expect(*state, -EACCES, NULL);
	assert_int_equal(chmod(path, 0600), 0);
	expect(*state, 0, "I");
}

static void test_profile(void **state)
{
	write_file("[a]\n" PAIR, 0600);
	expect(*state, -ENOENT, NULL);
	setenv("AWS_PROFILE", "b", 1);
	write_file("[a]\n" PAIR " \n", 0600);
	expect(*state, -EACCES, NULL);
	setenv("AWS_PROFILE", "a", 1);
	write_file("[a]\n" PAIR "  \n", 0600);
	expect(*state, 0, "I");
}

static int make_folder(void **state)
{
	log_set_level(LOG_LEVEL_ERROR);
	if (!mkdtemp(folder))
		return -1;
	return snprintf(path, sizeof(path), "%s/c", folder) < 0;
}

static int remove_folder(void **state)
{
	unlink(path);
	return rmdir(folder);
}

#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_long_value),
		WITH_FILE(test_variables_first),
		WITH_FILE(test_file_changes),
		WITH_FILE(test_file_not_trusted),
		WITH_FILE(test_profile),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
