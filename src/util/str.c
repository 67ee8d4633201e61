/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants: buf == NULL <=> size == 0; otherwise len < size and
 * buf[len] == 0.  Memory doubles, but never beyond max + 1.
 */
#include "util/str.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void str_done(struct str *s)
{
	free(s->buf);
	*s = (struct str){0};
}

void str_clear(struct str *s)
{
	str_truncate(s, 0);
}

void str_truncate(struct str *s, size_t len)
{
	if (len > s->len || !s->buf)
		return;
	s->len = len;
	s->buf[len] = 0;
}

int str_reserve(struct str *s, size_t more)
{
	size_t max = s->max ? s->max : STR_MAX_DEFAULT;
	size_t need, size;
	char *buf;

	if (max == SIZE_MAX)
		max--;
	if (s->len > max || more > max - s->len)
		return -EFBIG;
	need = s->len + more + 1;
	if (need <= s->size)
		return 0;
	size = s->size < 32 ? 32 : s->size;
	while (size < need)
		size = size > SIZE_MAX / 2 ? need : size * 2;
	if (size > max + 1)
		size = max + 1;
	buf = realloc(s->buf, size);
	if (!buf)
		return -ENOMEM;
	buf[s->len] = 0;
	s->buf = buf;
	s->size = size;
	return 0;
}

int str_add(struct str *s, const char *text)
{
	return str_addn(s, text, strlen(text));
}

int str_addn(struct str *s, const void *bytes, size_t n)
{
	int r;

	r = str_reserve(s, n);
	if (r < 0)
		return r;
	if (n)
		memcpy(s->buf + s->len, bytes, n);
	s->len += n;
	s->buf[s->len] = 0;
	return 0;
}

int str_addc(struct str *s, char c)
{
	return str_addn(s, &c, 1);
}

int str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = str_vaddf(s, fmt, ap);
	va_end(ap);
	return r;
}

int str_vaddf(struct str *s, const char *fmt, va_list ap)
{
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return errno == ENOMEM ? -ENOMEM : -EFBIG;
	r = str_reserve(s, (size_t)n);
	if (r < 0)
		return r;
	vsnprintf(s->buf + s->len, (size_t)n + 1, fmt, ap);
	s->len += (size_t)n;
	return 0;
}

char *str_steal(struct str *s)
{
	char *buf = s->buf;

	if (!buf)
		buf = calloc(1, 1);
	s->buf = NULL;
	s->len = s->size = 0;
	return buf;
}

char *str_printf(const char *fmt, ...)
{
	va_list ap;
	char *ret;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&ret, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : ret;
}

bool str_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

int str_to_u64(const char *s, unsigned long long max, unsigned long long *ret)
{
	unsigned long long v = 0;
	size_t n = strspn(s, "0123456789");

	if (n == 0 || s[n])
		return -EINVAL;
	for (; *s; s++) {
		unsigned int digit = (unsigned int)(*s - '0');

		if (digit > max || v > (max - digit) / 10)
			return -ERANGE;
		v = v * 10 + digit;
	}
	*ret = v;
	return 0;
}

int str_to_size(const char *s, unsigned long long *ret)
{
	static const char units[] = "KMGT";
	size_t n = strspn(s, "0123456789");
	char digits[24] = "";
	const char *unit;
	unsigned long long v;
	unsigned int shift = 0;
	int r;

	if (n >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, s, n);
	if (s[n]) {
		unit = strchr(units, s[n]);
		if (!unit || s[n + 1])
			return -EINVAL;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	r = str_to_u64(digits, ~0ULL >> shift, &v);
	if (r < 0)
		return r;
	*ret = v << shift;
	return 0;
}

const char *str_bytes(unsigned long long bytes, char out[STR_BYTES_MAX])
{
	static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		u++;
	}
	snprintf(out, STR_BYTES_MAX, "%.*f %s", u ? 1 : 0, v, units[u]);
	return out;
}
