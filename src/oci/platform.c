/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Platforms are written in Go's names (GOOS, GOARCH), but people and some
 * images write the kernel's; both mean the same here.  Where variants form a
 * ladder, a machine runs everything up to its own rung (image-spec
 * image-index.md, "Platform Variants").
 */
#include "oci/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "oci/malformed.h"
#include "util/json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* uname -m, and Debian's names, to GOARCH and the variant implied. */
static const struct {
	const char *machine, *arch, *variant;
} aliases[] = {
	{"x86_64", "amd64", ""},
	{"x86-64", "amd64", ""},
	{"i386", "386", ""},
	{"i486", "386", ""},
	{"i586", "386", ""},
	{"i686", "386", ""},
	{"aarch64", "arm64", ""},
	{"armv8l", "arm", "v8"},
	{"armv7l", "arm", "v7"},
	{"armhf", "arm", "v7"},
	{"armv6l", "arm", "v6"},
	{"armel", "arm", "v6"},
	{"armv5tel", "arm", "v5"},
	{"armv5tejl", "arm", "v5"},
	{"loongarch64", "loong64", ""},
	{"ppc64el", "ppc64le", ""},
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	/* uname does not tell the two byte orders apart */
	{"mips64", "mips64le", ""},
	{"mips", "mipsle", ""},
#endif
};

/* Architectures whose variants are ordered, and the rung of "no variant". */
static const struct {
	const char *arch;
	int base;
} ladders[] = {
	{"amd64", 100},	  /* v1 to v4 */
	{"arm", 700},	  /* v5 to v8; v7 if not said, like containerd */
	{"arm64", 800},	  /* v8, v8.1 ... v9 */
	{"ppc64le", 800}, /* power8 to power10 */
};

static void lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

static void set_part(char dst[PLATFORM_PART_MAX], const char *src)
{
	snprintf(dst, PLATFORM_PART_MAX, "%s", src);
}

static void canonical(struct platform *p, bool machine)
{
	lower(p->os);
	lower(p->arch);
	lower(p->variant);
	for (size_t i = 0; i < COUNT(aliases); i++) {
		if (strcmp(p->arch, aliases[i].machine) != 0)
			continue;
		/* "mips64" is GOARCH too, for big-endian */
		if (!machine && strncmp(p->arch, "mips", 4) == 0)
			return;
		set_part(p->arch, aliases[i].arch);
		if (!p->variant[0])
			set_part(p->variant, aliases[i].variant);
		return;
	}
}

/* Copies the part up to `end`; what a platform name may consist of is in no
 * spec, so this refuses only what no name has. */
static int parse_part(const char *s, size_t n, char ret[PLATFORM_PART_MAX])
{
	if (n == 0 || n >= PLATFORM_PART_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f)
			return -EINVAL;
	memcpy(ret, s, n);
	ret[n] = '\0';
	return 0;
}

int platform_parse(const char *s, struct platform *ret)
{
	struct platform p = {.os = ""};
	char *const parts[] = {p.os, p.arch, p.variant};
	size_t i = 0;

	for (;;) {
		size_t n = strcspn(s, "/");

		if (i == COUNT(parts) || parse_part(s, n, parts[i]) < 0)
			return -EINVAL;
		i++;
		if (s[n] == '\0')
			break;
		s += n + 1;
	}
	if (i < 2)
		return -EINVAL;
	canonical(&p, false);
	*ret = p;
	return 0;
}

static int member(const struct json *o, const char *key,
		  char ret[PLATFORM_PART_MAX], struct json_error *err)
{
	const char *s = NULL;
	int r;

	r = json_opt_string(o, key, &s, err);
	if (r < 0)
		return r;
	if (s && strlen(s) >= PLATFORM_PART_MAX)
		return malformed(err, "%s: longer than %d", key,
				 PLATFORM_PART_MAX - 1);
	set_part(ret, s ? s : "");
	return 0;
}

int platform_from_json(const struct json *o, struct platform *ret,
		       struct json_error *err)
{
	struct platform p = {.os = ""};
	const struct {
		const char *key;
		char *part;
	} members[] = {
		{"os", p.os},
		{"architecture", p.arch},
		{"variant", p.variant},
		{"os.version", p.os_version},
	};

	for (size_t i = 0; i < COUNT(members); i++) {
		int r = member(o, members[i].key, members[i].part, err);

		if (r < 0)
			return r;
	}
	*ret = p;
	return 0;
}

void platform_host(struct platform *ret)
{
	struct platform p = {.os = "linux"};
	struct utsname u;

	if (uname(&u) == 0)
		snprintf(p.arch, sizeof(p.arch), "%.*s", PLATFORM_PART_MAX - 1,
			 u.machine);
	canonical(&p, true);
	*ret = p;
}

/* One or two digits; moves on behind them.  -1: none here. */
static int small_number(const char **s)
{
	int n = -1;

	for (int i = 0; i < 2 && **s >= '0' && **s <= '9'; i++, (*s)++)
		n = (n < 0 ? 0 : n * 10) + (**s - '0');
	return n;
}

/* "v8.2" -> 802, "power9" -> 900, "" -> base; -1: not on a ladder. */
static int rung(const char *variant, int base)
{
	int major, minor = 0;

	if (!variant[0])
		return base;
	if (strncmp(variant, "power", 5) == 0)
		variant += 5;
	else if (variant[0] == 'v')
		variant++;
	major = small_number(&variant);
	if (major >= 0 && *variant == '.') {
		variant++;
		minor = small_number(&variant);
	}
	if (major < 0 || minor < 0 || *variant)
		return -1;
	return major * 100 + minor;
}

static int match_variant(const char *arch, const char *want, const char *have)
{
	for (size_t i = 0; i < COUNT(ladders); i++) {
		int w, h;

		if (strcmp(ladders[i].arch, arch) != 0)
			continue;
		w = rung(want, ladders[i].base);
		h = rung(have, ladders[i].base);
		if (w < 0 || h < 0)
			break;
		return h <= w ? 1 + h : 0;
	}
	if (strcmp(want, have) == 0)
		return 2;
	return !want[0] || !have[0];
}

int platform_match(const struct platform *want, const struct platform *have)
{
	struct platform w = *want, h = *have;
	int score;

	canonical(&w, false);
	canonical(&h, false);
	if (strcmp(w.os, h.os) != 0 || strcmp(w.arch, h.arch) != 0)
		return 0;
	score = match_variant(w.arch, w.variant, h.variant);
	if (score == 0)
		return 0;
	/* A preference only: files can be read whatever the version. */
	return 2 * score +
	       (w.os_version[0] && strcmp(w.os_version, h.os_version) == 0);
}

static char *add_part(char *out, const char *part)
{
	if (!part[0])
		*out++ = '_';
	for (; *part; part++) {
		char c = *part;
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || c == '.' || c == '_';

		*out++ = plain ? c : '_';
	}
	return out;
}

void platform_name(const struct platform *p, char out[3 * PLATFORM_PART_MAX])
{
	out = add_part(out, p->os);
	*out++ = '-';
	out = add_part(out, p->arch);
	if (p->variant[0]) {
		*out++ = '-';
		out = add_part(out, p->variant);
	}
	*out = '\0';
}

bool platform_is_unknown(const struct platform *p)
{
	return strcmp(p->os, "unknown") == 0 && strcmp(p->arch, "unknown") == 0;
}
