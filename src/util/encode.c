/* SPDX-License-Identifier: Apache-2.0 */
/* Tables instead of ctype: what is a digit must not depend on the locale. */
#include "util/encode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";
static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hex_encode(const uint8_t *in, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		*out++ = hex_lower[in[i] >> 4];
		*out++ = hex_lower[in[i] & 15];
	}
	*out = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static int any_hex_digit(char c)
{
	return hex_digit(c >= 'A' && c <= 'F' ? (char)(c + 32) : c);
}

int hex_decode(const char *in, size_t in_len, uint8_t *out, size_t n)
{
	if (in_len / 2 != n || in_len % 2)
		return -EINVAL;
	for (size_t i = 0; i < in_len; i++) {
		if (hex_digit(in[i]) < 0)
			return -EINVAL;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)((unsigned int)hex_digit(in[2 * i]) << 4 |
				   (unsigned int)hex_digit(in[2 * i + 1]));
	return 0;
}

int base64_encode(const void *in, size_t n, struct str *out)
{
	const uint8_t *p = in;
	size_t before = out->len;
	char quad[4];
	int r;

	if (n > SIZE_MAX / 2)
		return -EFBIG;
	r = str_reserve(out, (n + 2) / 3 * 4);
	for (size_t i = 0; r == 0 && i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			v |= p[i + 2];
		quad[0] = base64_digits[v >> 18];
		quad[1] = base64_digits[v >> 12 & 63];
		quad[2] = i + 1 < n ? base64_digits[v >> 6 & 63] : '=';
		quad[3] = i + 2 < n ? base64_digits[v & 63] : '=';
		r = str_addn(out, quad, 4);
	}
	if (r < 0)
		str_truncate(out, before);
	return r;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

/* The bits after the last whole byte are not looked at (RFC 4648 3.5 leaves
 * the choice): other decoders of credentials are as lenient. */
int base64_decode(const char *in, size_t n, struct str *out)
{
	size_t before = out->len;
	uint32_t v = 0;
	int bits = 0;
	int r;

	if (n && n % 4 == 0 && in[n - 1] == '=')
		n -= in[n - 2] == '=' ? 2 : 1;
	if (n % 4 == 1)
		return -EINVAL;
	r = str_reserve(out, n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0));
	for (size_t i = 0; r == 0 && i < n; i++) {
		int digit = base64_digit(in[i]);

		if (digit < 0) {
			r = -EINVAL;
			break;
		}
		v = v << 6 | (uint32_t)digit;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			r = str_addc(out, (char)(v >> bits & 0xff));
		}
	}
	if (r < 0)
		str_truncate(out, before);
	return r;
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

int percent_encode(const char *in, const char *keep, struct str *out)
{
	size_t before = out->len;
	int r = 0;

	for (; r == 0 && *in; in++) {
		unsigned char c = (unsigned char)*in;
		char code[3] = {'%', hex_upper[c >> 4], hex_upper[c & 15]};

		if (unreserved(*in) || (keep && strchr(keep, *in)))
			r = str_addc(out, *in);
		else
			r = str_addn(out, code, 3);
	}
	if (r < 0)
		str_truncate(out, before);
	return r;
}

int percent_decode(const char *in, size_t n, struct str *out)
{
	size_t before = out->len;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		char c = in[i];
		int high, low;

		if (c == '%') {
			high = n - i > 2 ? any_hex_digit(in[i + 1]) : -1;
			low = n - i > 2 ? any_hex_digit(in[i + 2]) : -1;
			c = high < 0 || low < 0 ? 0 : (char)(high << 4 | low);
			i += 2;
		}
		r = c ? str_addc(out, c) : -EINVAL;
	}
	if (r < 0)
		str_truncate(out, before);
	return r;
}

/* The Unicode Standard, table 3-7. */
size_t utf8_sequence(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* overlong */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90; /* overlong */
	else if (p[0] == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return len;
}

size_t utf8_plain(const char *s, size_t n)
{
	size_t len = utf8_sequence(s, n);
	const unsigned char *p = (const unsigned char *)s;

	if (len == 1 && (p[0] < 0x20 || p[0] == 0x7f))
		return 0;
	if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0;
	return len;
}

int escape_text(const char *in, const char *also, struct str *out)
{
	int r = 0;

	while (*in && r == 0) {
		size_t n =
			strchr(also, *in) ? 0 : utf8_plain(in, strnlen(in, 4));

		if (n)
			r = str_addn(out, in, n);
		else
			r = str_addf(out, "\\x%02x", (unsigned char)*in);
		in += n ? n : 1;
	}
	return r;
}
