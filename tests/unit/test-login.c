/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/login.h"

#include "scripted.h"

#include <errno.h>
#include <sys/stat.h>

#include "registry/host.h"

#define ASSERTION "eyJ.assertion.canary"
/* Claims: iat 1000, exp 11800. */
#define REFRESH "eyJh.eyJpYXQiOjEwMDAsImV4cCI6MTE4MDB9.refresh"

static const char *login_says, *exchange_says;
static int login_status, exchange_status;
static char form[2][4096];

static void answer(struct scripted *s, const struct request *q, struct reply *p)
{
	bool exchange = strcmp(q->target, "/oauth2/exchange") == 0;

	(void)s;
	snprintf(form[exchange], sizeof(form[0]), "%.*s", (int)q->body_len,
		 q->body ? q->body : "");
	if (exchange)
		say(p, exchange_status, exchange_says);
	else if (strcmp(q->target, "/the%2Ftenant/oauth2/v2.0/token") == 0)
		say(p, login_status, login_says);
}

struct bench {
	struct client c;
	struct registry *r;
	char path[256];
};

static void write_assertion(struct bench *b, mode_t mode)
{
	FILE *f = fopen(b->path, "w");

	assert_non_null(f);
	fputs(ASSERTION "\n", f);
	fclose(f);
	assert_int_equal(chmod(b->path, mode), 0);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	char authority[128];

	assert_non_null(b);
	client_start(&b->c, answer, answer);
	b->r = b->c.r;
	b->r->scheme = SCHEME_HTTP;
	snprintf(b->path, sizeof(b->path), "%s/assertion", b->c.home);
	snprintf(authority, sizeof(authority), "%s/", b->c.other.origin);
	setenv("AZURE_TENANT_ID", "the/tenant", 1);
	setenv("AZURE_CLIENT_ID", "the&client", 1);
	setenv("AZURE_FEDERATED_TOKEN_FILE", b->path, 1);
	setenv("AZURE_AUTHORITY_HOST", authority, 1);
	write_assertion(b, 0600);
	login_status = exchange_status = 200;
	login_says = "{\"access_token\":\"aad.canary\",\"expires_in\":3599}";
	exchange_says = "{\"refresh_token\":\"" REFRESH "\"}";
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	unsetenv("AZURE_TENANT_ID");
	unsetenv("AZURE_CLIENT_ID");
	unsetenv("AZURE_FEDERATED_TOKEN_FILE");
	unsetenv("AZURE_AUTHORITY_HOST");
	client_stop(&b->c);
	free(b);
	return 0;
}

static int ask(struct bench *b, struct credential *ret, uint64_t *life,
	       struct outcome *out)
{
	autocredential who = {.kind = CREDENTIAL_NONE};

	memset(out, 0, sizeof(*out));
	assert_int_equal(login_azure.have(b->r, &who), 0);
	/* No password, whoever looks at it. */
	assert_int_equal(who.kind, CREDENTIAL_IDENTITY_TOKEN);
	return login_azure.ask(b->r, &who, &b->c.w, ret, life, out);
}

static void test_exchange(void **state)
{
	struct bench *b = *state;
	autocredential c = {.kind = CREDENTIAL_NONE};
	struct outcome out;
	uint64_t life = 0;

	assert_int_equal(ask(b, &c, &life, &out), 0);
	assert_int_equal(c.kind, CREDENTIAL_IDENTITY_TOKEN);
	assert_string_equal(c.secret, REFRESH);
	assert_int_equal(life, 10800);
	assert_string_equal(
		form[0],
		"grant_type=client_credentials&client_id=the%26client&scope="
		"https%3A%2F%2Fcontainerregistry.azure.net%2F.default&"
		"client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A"
		"client-assertion-type%3Ajwt-bearer&client_"
		"assertion=" ASSERTION);
	assert_non_null(strstr(form[1], "grant_type=access_token&service=127"));
	assert_non_null(strstr(form[1], "&tenant=the%2Ftenant&"));
	assert_non_null(strstr(form[1], "&access_token=aad.canary"));
}

static void test_refusals(void **state)
{
	struct bench *b = *state;
	static const struct {
		int login, exchange;
		const char *login_says, *exchange_says;
		int error;
		bool refused, retry;
		const char *text;
	} rows[] = {
		{401, 200,
		 "{\"error\":\"invalid_client\","
		 "\"error_description\":\"AADSTS700213: no\"}",
		 NULL, -EACCES, true, false, "AADSTS700213: no"},
		{400, 200, "{}", NULL, -EACCES, true, false, "400"},
		{503, 200, "", NULL, -EIO, false, true, "503"},
		{429, 200, "", NULL, -EIO, false, true, "429"},
		{200, 200, "<html>", NULL, -EIO, false, false, "access_token"},
		{200, 200, "{\"access_token\":7}", NULL, -EIO, false, false,
		 "access_token"},
		{200, 401, NULL, "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}",
		 -EACCES, true, false, "UNAUTHORIZED"},
		{200, 200, NULL, "[]", -EIO, false, false, "refresh_token"},
		{302, 200, "", NULL, -EIO, false, true, "302"},
	};
	const char *login = login_says, *exchange = exchange_says;
	struct credential c = {.kind = CREDENTIAL_NONE};
	struct outcome out;
	uint64_t life;

	for (size_t i = 0; i < COUNT(rows); i++) {
		login_status = rows[i].login;
		exchange_status = rows[i].exchange;
		login_says = rows[i].login_says ? rows[i].login_says : login;
		exchange_says = rows[i].exchange_says ? rows[i].exchange_says
						      : exchange;
		assert_int_equal(ask(b, &c, &life, &out), rows[i].error);
		assert_int_equal(out.error, rows[i].error);
		assert_int_equal(out.refused, rows[i].refused);
		assert_int_equal(out.may_retry, rows[i].retry);
		assert_non_null(strstr(out.text, rows[i].text));
		assert_null(strstr(out.text, "canary"));
	}
	assert_int_equal(c.kind, CREDENTIAL_NONE);
}

static void test_files(void **state)
{
	struct bench *b = *state;
	struct credential c = {.kind = CREDENTIAL_NONE};
	struct outcome out;
	uint64_t life;

	write_assertion(b, 0622);
	assert_int_equal(ask(b, &c, &life, &out), -EACCES);
	assert_true(out.refused);
	assert_non_null(strstr(out.text, "writable by others"));
	unlink(b->path);
	assert_int_equal(ask(b, &c, &life, &out), -EACCES);
	assert_non_null(strstr(out.text, "does not exist"));
	assert_int_equal(b->c.other.asked, 0);
	/* Only where nobody can listen. */
	write_assertion(b, 0600);
	setenv("AZURE_AUTHORITY_HOST", "http://login.example.test", 1);
	assert_int_equal(ask(b, &c, &life, &out), -EACCES);
	assert_non_null(strstr(out.text, "without TLS"));
	setenv("AZURE_AUTHORITY_HOST", "ftp://x", 1);
	assert_int_equal(ask(b, &c, &life, &out), -EIO);
	/* Not all of it is there. */
	unsetenv("AZURE_TENANT_ID");
	assert_int_equal(login_azure.have(b->r, &c), 0);
	assert_int_equal(c.kind, CREDENTIAL_NONE);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_exchange),
		WITH(test_refusals),
		WITH(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
