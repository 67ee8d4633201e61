/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names mean something in an image layout.  Tools make others on their
 * way (.HEX.a1B2c3 beside a blob, oci-put-blob123, sedAbCdEf, .umoci-1/x): any
 * file name may be one, directories only with a dot.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "push/draft_private.h"

#define COMPONENT_MAX 255

/* Directories of the mount's views; what is written there means nothing. */
static const char *const views[] = {"layers", "platforms", "referrers",
				    "rootfs"};

static int check_path(const char *path)
{
	if (strlen(path) > DRAFT_PATH_MAX)
		return -ENAMETOOLONG;
	for (const char *s = path; *path; s++) {
		size_t n = strcspn(s, "/");

		if (n > COMPONENT_MAX)
			return -ENAMETOOLONG;
		if (n == 0 || (n == 1 && s[0] == '.') ||
		    (n == 2 && s[0] == '.' && s[1] == '.'))
			return -EINVAL;
		s += n;
		if (!*s)
			break;
	}
	return 0;
}

static bool is_view(const char *path)
{
	size_t n = strcspn(path, "/");

	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++) {
		if (strlen(views[i]) == n && memcmp(path, views[i], n) == 0)
			return true;
	}
	return strcmp(path, "config.json") == 0 || strcmp(path, "history") == 0;
}

static bool is_blob(const char *path, struct digest *ret)
{
	const char *alg = path + strlen("blobs/"), *hex;
	char name[16];
	size_t n;

	if (strncmp(path, "blobs/", strlen("blobs/")) != 0)
		return false;
	hex = strchr(alg, '/');
	n = hex ? (size_t)(hex - alg) : 0;
	if (n == 0 || n >= sizeof(name))
		return false;
	memcpy(name, alg, n);
	name[n] = '\0';
	return digest_parse_parts(name, hex + 1, ret) == 0;
}

int draft_name_parse(const char *path, enum draft_name *ret,
		     struct digest *ret_digest)
{
	static const struct {
		const char *path;
		enum draft_name name;
	} known[] = {
		{"", DRAFT_NAME_TOP},
		{"blobs", DRAFT_NAME_BLOBS},
		{"blobs/sha256", DRAFT_NAME_BLOBS},
		{"blobs/sha512", DRAFT_NAME_BLOBS},
		{"index.json", DRAFT_NAME_INDEX},
		{"manifest.json", DRAFT_NAME_MANIFEST},
		{"oci-layout", DRAFT_NAME_MARKER},
	};
	int r = check_path(path);

	if (r < 0)
		return r;
	*ret = DRAFT_NAME_OWN;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(path, known[i].path) == 0)
			*ret = known[i].name;
	}
	if (is_blob(path, ret_digest))
		*ret = DRAFT_NAME_BLOB;
	else if (is_view(path))
		*ret = DRAFT_NAME_VIEW;
	return 0;
}

bool draft_name_commits(enum draft_name name)
{
	return name == DRAFT_NAME_BLOB || name == DRAFT_NAME_INDEX ||
	       name == DRAFT_NAME_MANIFEST;
}

bool draft_name_is_directory(const char *path)
{
	const char *last = strrchr(path, '/');
	struct digest ignored;
	enum draft_name name;

	if (draft_name_parse(path, &name, &ignored) < 0)
		return false;
	if (name == DRAFT_NAME_BLOBS)
		return true;
	if (name == DRAFT_NAME_VIEW)
		return strcmp(path, "config.json") != 0 &&
		       strcmp(path, "history") != 0;
	return name == DRAFT_NAME_OWN &&
	       (path[0] == '.' || (last && last[1] == '.'));
}

void draft_name_blob(const struct digest *d, char out[160])
{
	char hex[129];

	digest_hex(d, hex);
	snprintf(out, 160, "blobs/%s/%s", digest_alg_name(d), hex);
}
