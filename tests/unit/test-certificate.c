/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "util/certificate.h"
#include "util/clock.h"

/* Made by openssl, as are the expected values; the keys are gone. */
static const char own[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBvTCCAWOgAwIBAgIUewwdhbdx8Ei+BVXpZRCiqs/eV60wCgYIKoZIzj0EAwIw\n"
	"NDELMAkGA1UEBhMCWFgxEDAOBgNVBAoMB0V4YW1wbGUxEzARBgNVBAMMCkV4YW1w\n"
	"bGUgQ0EwHhcNMjYxMTIxMTQxMDUyWhcNMzYxMTE4MTQxMDUyWjA0MQswCQYDVQQG\n"
	"EwJYWDEQMA4GA1UECgwHRXhhbXBsZTETMBEGA1UEAwwKRXhhbXBsZSBDQTBZMBMG\n"
	"ByqGSM49AgEGCCqGSM49AwEHA0IABK4GhDlyrqtraZgkxj95nqSy5RUZo3oUForm\n"
	"f119wVeQ5OHQBTH0gPLjtpKi4YJpbKlTxWbaf0U5eyaVHAcA/P6jUzBRMB0GA1Ud\n"
	"DgQWBBTMCrHq4v3l8wDyigJyT+uNdQRr6TAfBgNVHSMEGDAWgBTMCrHq4v3l8wDy\n"
	"igJyT+uNdQRr6TAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIHH5\n"
	"mLOSeXxRGLJw+ejEbaA50kt+Ffg14Y+EZ2uWZFr0AiEAy0CVsU4ybu1uiDCxMNf0\n"
	"WxuNOloYeuonpCcn3FkOX3A=\n"
	"-----END CERTIFICATE-----\n";

static const char signed_by_it[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIB0jCCAXmgAwIBAgIUSzFPTq6Pn/SEBOfW05pdZFm/QvIwCgYIKoZIzj0EAwIw\n"
	"NDELMAkGA1UEBhMCWFgxEDAOBgNVBAoMB0V4YW1wbGUxEzARBgNVBAMMCkV4YW1w\n"
	"bGUgQ0EwHhcNMjYxMTIxMTQxMDUzWhcNMjcwMzAxMTQxMDUzWjAbMRkwFwYDVQQD\n"
	"DBBHcsO8w59lIHJlZ2lzdHJ5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjrXM\n"
	"LTD0RC4PfbKRhBXc/lNolZeDePwUlSrhOJR9rpjCWPZo/02ChFvueKAsW3Noj4+A\n"
	"NVbsyIEq/BDdjlPTFqOBgTB/MD0GA1UdEQQ2MDSCBmEudGVzdIIIKi5iLnRlc3SH\n"
	"BAoAAAGHEP0AAAAAAAAAAAAAAAAAAAGBCHhAeS50ZXN0MB0GA1UdDgQWBBSqvRif\n"
	"vxh46w/rg90QXqphq54keTAfBgNVHSMEGDAWgBTMCrHq4v3l8wDyigJyT+uNdQRr\n"
	"6TAKBggqhkjOPQQDAgNHADBEAiBFdp+qsxNLEl4kMs8eLj/OyhxGL3cSQvSQ3UtI\n"
	"HI0v0AIgZHaEBd2KvMVloctGlUFt4Gq1oUApYs9gT/RNqsvmO6U=\n"
	"-----END CERTIFICATE-----\n";

#define FROM "2026-11-21T14:10:53Z"
#define UNTIL "2027-03-01T14:10:53Z"

static void test_parse(void **state)
{
	struct certificate c;
	char text[32];

	(void)state;
	assert_int_equal(certificate_parse(own, &c), 0);
	assert_string_equal(c.subject, "C = XX, O = Example, CN = Example CA");
	assert_string_equal(c.issuer, c.subject);
	assert_string_equal(c.names, "");
	assert_true(c.is_own);

	assert_int_equal(certificate_parse(signed_by_it, &c), 0);
	assert_string_equal(c.subject, "CN = Gr\\C3\\BC\\C3\\9Fe registry");
	assert_string_equal(c.issuer, "C = XX, O = Example, CN = Example CA");
	assert_string_equal(c.names, "a.test, *.b.test, 10.0.0.1, fd00::1");
	assert_false(c.is_own);
	clock_format_rfc3339(c.from, text);
	assert_string_equal(text, FROM);
	clock_format_rfc3339(c.until, text);
	assert_string_equal(text, UNTIL);
}

static void test_rubbish(void **state)
{
	struct certificate c = {.from = 7};
	char cut[sizeof(signed_by_it)];

	(void)state;
	assert_int_equal(certificate_parse("", &c), -EBADMSG);
	assert_int_equal(certificate_parse("rubbish", &c), -EBADMSG);
	for (size_t n = 0; n + 8 < sizeof(cut); n += 7) {
		memcpy(cut, signed_by_it, n);
		cut[n] = '\0';
		assert_int_equal(certificate_parse(cut, &c), -EBADMSG);
	}
	for (size_t n = 40; n + 40 < sizeof(cut); n += 5) {
		memcpy(cut, signed_by_it, sizeof(cut));
		cut[n] = cut[n] == 'A' ? 'B' : 'A';
		(void)certificate_parse(cut, &c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
