/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate comes from a stranger, so everything of it is bounded, and
 * OpenSSL's escapes keep names within ASCII. */
#include "util/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "util/str.h"

#define NAMES_MAX 64

static void copy_text(const char *s, size_t n, char *ret, size_t size)
{
	if (n >= size)
		n = size - 1;
	for (size_t i = 0; i < n; i++)
		ret[i] = s[i] >= ' ' && s[i] <= '~' ? s[i] : '?';
	ret[n] = '\0';
}

static int format_name(const X509_NAME *name, char *ret, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n;

	if (!bio)
		return -ENOMEM;
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE) < 0) {
		BIO_free(bio);
		return -EBADMSG;
	}
	n = BIO_get_mem_data(bio, &text);
	copy_text(text, n > 0 ? (size_t)n : 0, ret, size);
	BIO_free(bio);
	return 0;
}

static int read_time(const ASN1_TIME *t, int64_t *ret)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return -EBADMSG;
	*ret = (int64_t)timegm(&tm);
	return 0;
}

static int add_name(const GENERAL_NAME *n, struct str *out)
{
	char text[INET6_ADDRSTRLEN] = "";
	const ASN1_STRING *s;

	if (n->type == GEN_DNS) {
		s = n->d.dNSName;
		return str_addf(out, "%s%.*s", out->len ? ", " : "",
				ASN1_STRING_length(s),
				(const char *)ASN1_STRING_get0_data(s));
	}
	if (n->type != GEN_IPADD)
		return 0;
	s = n->d.iPAddress;
	if (ASN1_STRING_length(s) == 4)
		inet_ntop(AF_INET, ASN1_STRING_get0_data(s), text,
			  sizeof(text));
	else if (ASN1_STRING_length(s) == 16)
		inet_ntop(AF_INET6, ASN1_STRING_get0_data(s), text,
			  sizeof(text));
	return *text ? str_addf(out, "%s%s", out->len ? ", " : "", text) : 0;
}

static void read_names(const X509 *x, struct certificate *ret)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	autostr out = {.max = 8192};

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < NAMES_MAX; i++) {
		if (add_name(sk_GENERAL_NAME_value(names, i), &out) < 0)
			break;
	}
	if (out.len)
		copy_text(out.buf, out.len, ret->names, sizeof(ret->names));
	GENERAL_NAMES_free(names);
}

int certificate_parse(const char *pem, struct certificate *ret)
{
	struct certificate c = {.from = 0};
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	int r = -EBADMSG;

	BIO_free(bio);
	if (!x)
		return r;
	r = format_name(X509_get_subject_name(x), c.subject, sizeof(c.subject));
	if (r == 0)
		r = format_name(X509_get_issuer_name(x), c.issuer,
				sizeof(c.issuer));
	if (r == 0)
		r = read_time(X509_get0_notBefore(x), &c.from);
	if (r == 0)
		r = read_time(X509_get0_notAfter(x), &c.until);
	c.is_own = X509_NAME_cmp(X509_get_subject_name(x),
				 X509_get_issuer_name(x)) == 0;
	read_names(x, &c);
	X509_free(x);
	if (r == 0)
		*ret = c;
	return r;
}
