/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three witnesses tell what a document is: the type it was given as, its own
 * `mediaType`, and the members it has.  Any two readers must come to the same
 * answer, so each witness that speaks must agree, and a document with members
 * of two kinds is refused whatever is said of it.
 */
#include "oci/doctype.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "oci/malformed.h"
#include "oci/mediatype.h"
#include "util/json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	HAS_MANIFESTS = 1 << 0,
	HAS_CONFIG = 1 << 1,
	HAS_LAYERS = 1 << 2,
	HAS_FSLAYERS = 1 << 3,
	HAS_BLOBS = 1 << 4,
};

static const struct {
	const char *key;
	unsigned bit;
} members[] = {
	{"manifests", HAS_MANIFESTS}, {"config", HAS_CONFIG},
	{"layers", HAS_LAYERS},	      {"fsLayers", HAS_FSLAYERS},
	{"blobs", HAS_BLOBS},
};

/* In the order in which a document that says nothing is tried. */
static const struct kind {
	enum mediatype class;
	unsigned must, may;
	uint64_t version;	/* 0: the member is not in its spec */
	const char *by_content; /* NULL: only if it says so itself */
} kinds[] = {
	{MEDIATYPE_INDEX, HAS_MANIFESTS, 0, 2, MEDIATYPE_OCI_INDEX},
	{MEDIATYPE_MANIFEST, HAS_CONFIG, HAS_LAYERS, 2, MEDIATYPE_OCI_MANIFEST},
	{MEDIATYPE_SCHEMA1, HAS_FSLAYERS, 0, 1, MEDIATYPE_DOCKER_SCHEMA1},
	{MEDIATYPE_ARTIFACT, 0, HAS_BLOBS, 0, NULL},
};

/* Go writes an empty list as null: such a member is present, but holds
 * nothing that could be read in another way. */
static void look_at_members(const struct json *doc, unsigned *ret_present,
			    unsigned *ret_filled)
{
	const struct json *value;
	const char *key;
	void *iter = NULL;

	*ret_present = *ret_filled = 0;
	while (json_each(doc, &iter, &key, &value)) {
		for (size_t i = 0; i < COUNT(members); i++) {
			if (strcmp(members[i].key, key) != 0)
				continue;
			*ret_present |= members[i].bit;
			if (json_find(doc, key))
				*ret_filled |= members[i].bit;
		}
	}
}

static const struct kind *kind_of(enum mediatype class)
{
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (kinds[i].class == class)
			return &kinds[i];
	return NULL;
}

/* What the document says of itself; NULL: nothing. */
static int own_type(const struct json *doc, const char **ret,
		    struct json_error *err)
{
	const char *s = NULL, *known;
	int r;

	r = json_opt_string(doc, "mediaType", &s, err);
	if (r < 0)
		return r;
	if (!s || !s[0]) {
		*ret = NULL;
		return 0;
	}
	/* Other readers compare it letter by letter. */
	known = mediatype_known(s);
	if (!known || strcmp(known, s) != 0 ||
	    !mediatype_is_document(mediatype_class(s)))
		return malformed(err, "mediaType: not that of a manifest");
	*ret = known;
	return 0;
}

/* The type that the members alone speak for. */
static int type_by_content(const struct json *doc, unsigned present,
			   const char **ret, struct json_error *err)
{
	const struct json *signatures = json_find(doc, "signatures");

	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (!kinds[i].by_content ||
		    (present & kinds[i].must) != kinds[i].must)
			continue;
		*ret = kinds[i].by_content;
		if (kinds[i].class == MEDIATYPE_SCHEMA1 && signatures &&
		    json_len(signatures) > 0)
			*ret = MEDIATYPE_DOCKER_SCHEMA1_SIGNED;
		return 0;
	}
	return malformed(err, "not a manifest of any kind");
}

static int check_shape(const struct kind *k, unsigned present, unsigned filled,
		       struct json_error *err)
{
	for (size_t i = 0; i < COUNT(members); i++) {
		if (filled & members[i].bit & ~(k->must | k->may))
			return malformed(err,
					 "%s: in a document of another "
					 "kind",
					 members[i].key);
		if (k->must & ~present & members[i].bit)
			return malformed(err, "%s: missing", members[i].key);
	}
	return 0;
}

static int check_version(const struct kind *k, const struct json *doc,
			 struct json_error *err)
{
	uint64_t version = 0;
	int r;

	if (k->version == 0)
		return 0;
	r = json_need_u64(doc, "schemaVersion", INT64_MAX, &version, err);
	if (r < 0)
		return r;
	if (version != k->version)
		return malformed(err,
				 "schemaVersion: %" PRIu64 ", not %" PRIu64,
				 version, k->version);
	return 0;
}

/* Docker's two and the retired artifact name themselves, by their specs. */
static bool names_itself(const char *type)
{
	return strcmp(type, MEDIATYPE_DOCKER_LIST) == 0 ||
	       strcmp(type, MEDIATYPE_DOCKER_MANIFEST) == 0 ||
	       strcmp(type, MEDIATYPE_OCI_ARTIFACT) == 0;
}

int doctype_decide(const struct json *doc, const char *given, const char **ret,
		   struct json_error *err)
{
	const char *own = NULL, *type = NULL;
	unsigned present, filled;
	const struct kind *kind;
	int r;

	r = own_type(doc, &own, err);
	if (r < 0)
		return r;
	if (!mediatype_is_generic(given)) {
		type = mediatype_known(given);
		if (!type || !mediatype_is_document(mediatype_class(type)))
			return malformed(err,
					 "given as \"%.90s\", which is no "
					 "manifest",
					 given);
		if (own && strcmp(own, type) != 0)
			return malformed(
				err, "given as %s, but is another type", type);
		if (!own && names_itself(type))
			return malformed(err, "mediaType: missing");
	}
	if (!type)
		type = own;
	look_at_members(doc, &present, &filled);
	if (!type) {
		r = type_by_content(doc, present, &type, err);
		if (r < 0)
			return r;
	}
	kind = kind_of(mediatype_class(type));
	if (!kind)
		return malformed(err, "not a manifest of any kind");
	r = check_shape(kind, present, filled, err);
	if (r < 0)
		return r;
	r = check_version(kind, doc, err);
	if (r < 0)
		return r;
	*ret = type;
	return 0;
}
