/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A growable byte string that must be given its maximum.  `buf` is always
 * NUL-terminated once anything was added (NULL before); `len` excludes the NUL.
 * Every adder returns 0, -ENOMEM, or -EFBIG when `max` would be exceeded; on
 * failure the content is unchanged.  Not thread safe.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
	char *buf;
	size_t len;
	size_t max;  /* largest len allowed; 0 means STR_MAX_DEFAULT */
	size_t size; /* private: allocated bytes */
};

#define STR_MAX_DEFAULT ((size_t)16 << 20)

void str_done(struct str *s);		      /* frees, and zeroes the struct */
void str_clear(struct str *s);		      /* len = 0, keeps the memory */
void str_truncate(struct str *s, size_t len); /* no effect if longer */
int str_reserve(struct str *s, size_t more);
int str_add(struct str *s, const char *text);
int str_addn(struct str *s, const void *bytes, size_t n);
int str_addc(struct str *s, char c);
int str_addf(struct str *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int str_vaddf(struct str *s, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
/* Hands the buffer over (NULL only if out of memory); empty afterwards. */
char *str_steal(struct str *s);

#define autostr __attribute__((cleanup(str_done))) struct str

/* asprintf that returns NULL when out of memory. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool str_prefix(const char *s, const char *prefix);
bool str_suffix(const char *s, const char *suffix);
/* Decimal digits only (no sign, no blank), whole string: -EINVAL, -ERANGE. */
int str_to_u64(const char *s, unsigned long long max, unsigned long long *ret);
/* "12 B", "3.4 MiB": for people. */
#define STR_BYTES_MAX 16
const char *str_bytes(unsigned long long bytes, char out[STR_BYTES_MAX]);
/* Number with optional K M G T (powers of 1024): for sizes in options.
 * -EINVAL, -ERANGE. */
int str_to_size(const char *s, unsigned long long *ret);
