/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A platform: os/architecture[/variant], image-spec image-index.md. */
#include <stdbool.h>

struct json;
struct json_error;

#define PLATFORM_PART_MAX 64

struct platform {
	char os[PLATFORM_PART_MAX];
	char arch[PLATFORM_PART_MAX];
	char variant[PLATFORM_PART_MAX];    /* "" if none */
	char os_version[PLATFORM_PART_MAX]; /* "" if none */
};

/* "linux/arm/v7", "linux/amd64"; -EINVAL. */
int platform_parse(const char *s, struct platform *ret);
int platform_from_json(const struct json *o, struct platform *ret,
		       struct json_error *err);
/* linux and this machine's architecture (uname -m), GOARCH spelling. */
void platform_host(struct platform *ret);
/* How well `have` serves `want`: 0 = not, larger is better (arm64 = arm64/v8;
 * arm/v7 can run v6; amd64/v1 = amd64). */
int platform_match(const struct platform *want, const struct platform *have);
/* "linux-arm-v7": a directory name; characters other than [A-Za-z0-9._] in
 * the parts become '_'. */
void platform_name(const struct platform *p, char out[3 * PLATFORM_PART_MAX]);
bool platform_is_unknown(const struct platform *p); /* unknown/unknown */
