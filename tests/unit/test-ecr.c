/* SPDX-License-Identifier: Apache-2.0 */
/* Amazon's registries: names, signatures (computed by Python's hmac), what the
 * API answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "registry/ecr.h"
#include "registry/login/ecr_sign.h"
#include "util/auto.h"
#include "util/json.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define A "111122223333"

static const struct {
	const char *host, *account, *region, *api;
} hosts[] = {
	{A ".dkr.ecr.eu-west-1.amazonaws.com", A, "eu-west-1",
	 "https://api.ecr.eu-west-1.amazonaws.com/"},
	{A ".dkr.ecr-fips.us-gov-west-1.amazonaws.com", A, "us-gov-west-1",
	 "https://ecr-fips.us-gov-west-1.amazonaws.com/"},
	{A ".dkr.ecr.cn-north-1.amazonaws.com.cn", A, "cn-north-1",
	 "https://api.ecr.cn-north-1.amazonaws.com.cn/"},
	{A ".dkr.ecr.eusc-de-east-1.amazonaws.eu", A, "eusc-de-east-1",
	 "https://api.ecr.eusc-de-east-1.amazonaws.eu/"},
	{A ".dkr-ecr.us-east-1.on.aws", A, "us-east-1",
	 "https://ecr.us-east-1.api.aws/"},
	{A ".dkr-ecr-fips.us-east-1.on.aws", A, "us-east-1",
	 "https://ecr-fips.us-east-1.api.aws/"},
	{A ".dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", A, "cn-north-1",
	 "https://ecr.cn-north-1.api.amazonwebservices.com.cn/"},
	{"public.ecr.aws", "", "us-east-1",
	 "https://api.ecr-public.us-east-1.amazonaws.com/"},
};

static const char *const others[] = {
	"",
	"1",
	"docker.io",
	A,
	A ".dkr.ecr",
	A ".dkr.ecr..amazonaws.com",
	A ".dkr.ecr.eu-west-1.amazonaws.com.evil.test",
	A ".dkr.ecr.eu-west-1.evil.test",
	A ".dkr.ecr.evil.test.amazonaws.com",
	A ".dkr.ecr.-x.amazonaws.com",
	A ".dkr.ecr.eu-west-1.amazonaws.com:5000",
	A ".dkr.ecr.eu_west-1.amazonaws.com",
	A ".dkr.ecr.a234567890123456789012345678901234.amazonaws.com",
	"1" A ".dkr.ecr.eu-west-1.amazonaws.com",
	"11112222333.dkr.ecr.eu-west-1.amazonaws.com",
	A ".dkr-ecr.eu-west-1.amazonaws.com",
	A ".dkr.ecr.eu-west-1.on.aws",
	"x.public.ecr.aws",
};

static void test_hosts(void **state)
{
	struct ecr_place p;

	for (size_t i = 0; i < COUNT(hosts); i++) {
		assert_true(ecr_place_parse(hosts[i].host, &p));
		assert_string_equal(p.account, hosts[i].account);
		assert_string_equal(p.region, hosts[i].region);
		assert_string_equal(p.api, hosts[i].api);
		assert_int_equal(p.is_public, !*p.account);
		assert_string_equal(p.service,
				    p.is_public ? "ecr-public" : "ecr");
	}
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(ecr_place_parse(others[i], &p));
}

static void test_endpoint(void **state)
{
	struct ecr_place own, public;

	unsetenv("AWS_ENDPOINT_URL_ECR");
	unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	assert_true(ecr_place_parse(hosts[0].host, &own));
	assert_true(ecr_place_parse("public.ecr.aws", &public));
	setenv("AWS_ENDPOINT_URL", "https://all.test", 1);
	assert_string_equal(ecr_place_endpoint(&own), "https://all.test");
	setenv("AWS_ENDPOINT_URL_ECR", "https://ecr.test", 1);
	assert_string_equal(ecr_place_endpoint(&own), "https://ecr.test");
	assert_string_equal(ecr_place_endpoint(&public), "https://all.test");
	setenv("AWS_ENDPOINT_URL_ECR", "", 1);
	assert_string_equal(ecr_place_endpoint(&own), "https://all.test");
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE", 1);
	assert_string_equal(ecr_place_endpoint(&own), own.api);
	unsetenv("AWS_ENDPOINT_URL");
}

/* --- signatures --- */

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define PRIVATE "AmazonEC2ContainerRegistry_V20150921."
#define PUBLIC "SpencerFrontendService."

static const struct {
	const char *url, *region, *service, *target, *body, *session;
	int64_t now;
	const char *date, *signature;
} signatures[] = {
	{"https://api.ecr.eu-west-1.amazonaws.com/", "eu-west-1", "ecr",
	 PRIVATE "GetAuthorizationToken", "{}", NULL, 1714557600,
	 "20240501T100000Z",
	 "72c34768ca2fc0679bbc2817de6a18dfa71e88b50f51ed71b07caf9a31c3843a"},
	{"https://api.ecr.eu-west-1.amazonaws.com", "eu-west-1", "ecr",
	 PRIVATE "CreateRepository", "{\"repositoryName\":\"team/app\"}",
	 "a+b/c==", 1714557600, "20240501T100000Z",
	 "03ea9ece263bd0ab6a5547a6922fd026d01858ef9152c7abcc68928af5b49d6f"},
	{"http://127.0.0.1:4566/a/b-c", "us-east-1", "ecr-public",
	 PUBLIC "GetAuthorizationToken", "{}", NULL, 1456790399,
	 "20160229T235959Z",
	 "cf43ad39431fbb96cc10eaa66c805644599258f9b5380c7173f13942d5b40a13"},
	{"http://[::1]:4566/", "us-east-1", "ecr-public",
	 PUBLIC "GetAuthorizationToken", "{}", NULL, 1456790399,
	 "20160229T235959Z",
	 "cbdeb932871888943dde43b9c1fb1d30fc4cfcc8798bf2d003850df1dee8519a"},
};

static const char *line(const struct lines *l, const char *name)
{
	for (size_t i = 0; i < l->len; i++) {
		if (str_prefix(l->v[i], name))
			return l->v[i] + strlen(name) + 2;
	}
	return NULL;
}

static void test_signatures(void **state)
{
	for (size_t i = 0; i < COUNT(signatures); i++) {
		char id[] = "AKIDEXAMPLE", secret[] = SECRET, session[64] = "";
		struct awskeys keys = {.id = id, .secret = secret};
		struct ecr_request q = {.keys = &keys,
					.region = signatures[i].region,
					.service = signatures[i].service,
					.target = signatures[i].target,
					.body = signatures[i].body,
					.now = signatures[i].now};
		struct lines l = {.len = 0};
		struct url u;

		if (signatures[i].session) {
			strncpy(session, signatures[i].session, 63);
			keys.session = session;
		}
		assert_int_equal(url_parse(signatures[i].url, &u), 0);
		q.url = &u;
		assert_int_equal(ecr_sign(&q, &l), 0);
		assert_string_equal(line(&l, "X-Amz-Date"), signatures[i].date);
		assert_string_equal(line(&l, "X-Amz-Target"),
				    signatures[i].target);
		assert_true(str_suffix(line(&l, "Authorization"),
				       signatures[i].signature));
		assert_int_equal(line(&l, "X-Amz-Security-Token") != NULL,
				 keys.session != NULL);
		assert_null(strstr(line(&l, "Authorization"), secret));
		lines_done(&l);
		url_done(&u);
	}
}

static void test_unsignable(void **state)
{
	static const char *const urls[] = {"https://a.test/?x=1",
					   "https://a.test/a%20b",
					   "https://a.test/a(b"};
	char id[] = "I", secret[] = "S";
	struct awskeys keys = {.id = id, .secret = secret};
	struct ecr_request q = {.keys = &keys,
				.region = "r",
				.service = "s",
				.target = "t",
				.body = "{}",
				.now = 1714557600};

	for (size_t i = 0; i < COUNT(urls); i++) {
		struct lines l = {.len = 0};
		struct url u;

		assert_int_equal(url_parse(urls[i], &u), 0);
		q.url = &u;
		assert_int_equal(ecr_sign(&q, &l), -EINVAL);
		lines_done(&l);
		url_done(&u);
	}
}

/* --- answers --- */

#define NOW 1714557600
#define TOKEN "\"authorizationToken\":\"QVdTOnA6dw==\"" /* AWS:p:w */

static const struct {
	const char *text;
	int error;
	uint64_t life_s;
	const char *account;
} answers[] = {
	{"{\"authorizationData\":[{" TOKEN ",\"expiresAt\":1714600800.123,"
	 "\"proxyEndpoint\":\"https://" A
	 ".dkr.ecr.eu-west-1.amazonaws.com\"}]}",
	 0, 43200, A},
	{"{\"authorizationData\":{" TOKEN ",\"expiresAt\":1714557900}}", 0, 300,
	 ""},
	{"{\"authorizationData\":[{" TOKEN "}]}", 0, 3600, ""},
	{"{\"authorizationData\":[{" TOKEN ",\"expiresAt\":5}]}", 0, 60, ""},
	{"{\"authorizationData\":[{" TOKEN ",\"expiresAt\":99999999999}]}", 0,
	 43200, ""},
	{"{\"authorizationData\":[{" TOKEN ",\"proxyEndpoint\":"
	 "\"https://1234.dkr.ecr.x.amazonaws.com\"}]}",
	 0, 3600, ""},
	{"{\"authorizationData\":[{" TOKEN ",\"expiresAt\":\"soon\"}]}",
	 -EBADMSG, 0, NULL},
	{"{\"authorizationData\":[{" TOKEN ",\"expiresAt\":-1}]}", -EBADMSG, 0,
	 NULL},
	{"{\"authorizationData\":[{" TOKEN ",\"expiresAt\":1e300}]}", -EBADMSG,
	 0, NULL},
	{"{\"authorizationData\":[]}", -EBADMSG, 0, NULL},
	{"{\"authorizationData\":null}", -EBADMSG, 0, NULL},
	{"{}", -EBADMSG, 0, NULL},
	{"{\"authorizationData\":[{\"authorizationToken\":\"%\"}]}", -EBADMSG,
	 0, NULL},
	/* "AWS", "AWS:", ":x", "AWS:\n", "AWS:x\0" */
	{"{\"authorizationData\":[{\"authorizationToken\":\"QVdT\"}]}",
	 -EBADMSG, 0, NULL},
	{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOg==\"}]}",
	 -EBADMSG, 0, NULL},
	{"{\"authorizationData\":[{\"authorizationToken\":\"Ong=\"}]}",
	 -EBADMSG, 0, NULL},
	{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOgo=\"}]}",
	 -EBADMSG, 0, NULL},
	{"{\"authorizationData\":[{\"authorizationToken\":\"QVdTOngA\"}]}",
	 -EBADMSG, 0, NULL},
};

static void test_answers(void **state)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		autocredential c = {.kind = CREDENTIAL_NONE};
		char account[ECR_ACCOUNT_LEN + 1] = "?";
		struct json *doc;
		uint64_t life_s = 0;

		assert_int_equal(json_parse_lenient(answers[i].text,
						    strlen(answers[i].text),
						    1 << 20, &doc, NULL),
				 0);
		assert_int_equal(ecr_read_token(doc, NOW, &c, &life_s, account),
				 answers[i].error);
		assert_int_equal(life_s, answers[i].life_s);
		if (answers[i].error == 0) {
			assert_string_equal(c.user, "AWS");
			assert_string_equal(c.secret, "p:w");
			assert_string_equal(account, answers[i].account);
		}
		json_free(doc);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *code;
		int status, error;
	} rows[] = {
		{"AccessDeniedException", 400, -EACCES},
		{"ExpiredTokenException", 400, -EACCES},
		{"InvalidSignatureException", 400, -EACCES},
		{"SignatureDoesNotMatch", 403, -EACCES},
		{"ThrottlingException", 400, -ETIMEDOUT},
		{"LimitExceededException", 400, -EDQUOT},
		{"InvalidParameterException", 400, -EINVAL},
		{"RepositoryNotFoundException", 400, -ENOENT},
		{"ServerException", 500, -EIO},
		{"", 403, -EACCES},
		{"", 429, -ETIMEDOUT},
		{"", 502, -EIO},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(ecr_error(rows[i].code, rows[i].status),
				 rows[i].error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_unsignable),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
