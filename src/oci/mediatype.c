/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a media type means to us is one row here.  Everything that is not in
 * the table is MEDIATYPE_OTHER: artifacts may hold anything.
 */
#include "oci/mediatype.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define OCI_FOREIGN "application/vnd.oci.image.layer.nondistributable.v1.tar"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"
#define DOCKER_FOREIGN "application/vnd.docker.image.rootfs.foreign.diff.tar"

static const struct {
	const char *name;
	enum mediatype class;
} types[] = {
	{MEDIATYPE_OCI_INDEX, MEDIATYPE_INDEX},
	{MEDIATYPE_DOCKER_LIST, MEDIATYPE_INDEX},
	{MEDIATYPE_OCI_MANIFEST, MEDIATYPE_MANIFEST},
	{MEDIATYPE_DOCKER_MANIFEST, MEDIATYPE_MANIFEST},
	{MEDIATYPE_DOCKER_SCHEMA1, MEDIATYPE_SCHEMA1},
	{MEDIATYPE_DOCKER_SCHEMA1_SIGNED, MEDIATYPE_SCHEMA1},
	{MEDIATYPE_OCI_ARTIFACT, MEDIATYPE_ARTIFACT},
	{MEDIATYPE_OCI_CONFIG, MEDIATYPE_CONFIG},
	{MEDIATYPE_DOCKER_CONFIG, MEDIATYPE_CONFIG},
	{OCI_LAYER, MEDIATYPE_LAYER},
	{OCI_LAYER "+gzip", MEDIATYPE_LAYER},
	{OCI_LAYER "+zstd", MEDIATYPE_LAYER},
	{DOCKER_LAYER, MEDIATYPE_LAYER},
	{DOCKER_LAYER ".gzip", MEDIATYPE_LAYER},
	{DOCKER_LAYER ".zstd", MEDIATYPE_LAYER}, /* in no spec, but seen */
	{OCI_FOREIGN, MEDIATYPE_FOREIGN},
	{OCI_FOREIGN "+gzip", MEDIATYPE_FOREIGN},
	{OCI_FOREIGN "+zstd", MEDIATYPE_FOREIGN},
	{DOCKER_FOREIGN, MEDIATYPE_FOREIGN},
	{DOCKER_FOREIGN ".gzip", MEDIATYPE_FOREIGN},
};

/* What servers say that do not know what they serve. */
static const char *const generic[] = {
	"",	     "application/json",	 "text/plain",
	"text/json", "application/octet-stream", "binary/octet-stream",
};

/* The type itself: no blanks around it, no parameters. */
static const char *essence(const char *s, size_t *ret_len)
{
	size_t n;

	s += strspn(s, " \t");
	n = strcspn(s, ";");
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	*ret_len = n;
	return s;
}

bool mediatype_equal(const char *a, const char *b)
{
	size_t a_len, b_len;

	a = essence(a, &a_len);
	b = essence(b, &b_len);
	return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

enum mediatype mediatype_class(const char *s)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (mediatype_equal(types[i].name, s))
			return types[i].class;
	return MEDIATYPE_OTHER;
}

const char *mediatype_known(const char *s)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (mediatype_equal(types[i].name, s))
			return types[i].name;
	return NULL;
}

bool mediatype_is_document(enum mediatype m)
{
	return m == MEDIATYPE_INDEX || m == MEDIATYPE_MANIFEST ||
	       m == MEDIATYPE_SCHEMA1 || m == MEDIATYPE_ARTIFACT;
}

bool mediatype_is_generic(const char *s)
{
	for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++)
		if (mediatype_equal(generic[i], s))
			return true;
	return false;
}

bool mediatype_is_valid(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++)
		if ((unsigned char)s[n] < 0x20 || s[n] == 0x7f)
			return false;
	return n > 0 && n <= MEDIATYPE_MAX;
}

const char *mediatype_accept(void)
{
	return MEDIATYPE_OCI_INDEX
		", " MEDIATYPE_OCI_MANIFEST ", " MEDIATYPE_DOCKER_LIST
		", " MEDIATYPE_DOCKER_MANIFEST
		", " MEDIATYPE_DOCKER_SCHEMA1_SIGNED
		";q=0.5, " MEDIATYPE_DOCKER_SCHEMA1 ";q=0.5, */*;q=0.1";
}
