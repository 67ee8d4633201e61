/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of an upload.  First choice: small blobs in one PUT (two requests,
 * and nothing is lost if they break), others as one streamed PATCH, as docker
 * push has always sent them.  What is refused is struck off, so that the
 * choice ends: each refusal sets a bit that stays.
 */
#include "registry/push_form.h"

#include <errno.h>
#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "util/str.h"

#define MIB ((uint64_t)1 << 20)
#define CHUNK_BYTES (16 * MIB)	   /* of sources that still grow */
#define CHUNK_SAFE_BYTES (4 * MIB) /* taken by all that take chunks */
#define CHUNK_MIN_MAX (1024 * MIB) /* more is nobody's minimum */

/* First match wins (registries.md D, 2024-2026). */
static const struct {
	const char *pattern;
	struct push_habits habits;
} hosts[] = {
	/* "No chunked uploads", they say; docker's stream is taken. */
	{"*.pkg.dev", {.wants_whole = true, .no_chunks = true}},
	{"gcr.io", {.wants_whole = true, .no_chunks = true}},
	{"*.gcr.io", {.wants_whole = true, .no_chunks = true}},
	/* PATCHes with Content-Range over 4 MiB are refused. */
	{"ghcr.io", {.chunk_max_bytes = 4 * MIB}},
	/* Parts of a multipart upload underneath. */
	{"*.dkr.ecr.*",
	 {.chunk_min_bytes = 5 * MIB, .chunk_max_bytes = 20 * MIB}},
	{"*.dkr.ecr-fips.*",
	 {.chunk_min_bytes = 5 * MIB, .chunk_max_bytes = 20 * MIB}},
	{"*.dkr-ecr.*",
	 {.chunk_min_bytes = 5 * MIB, .chunk_max_bytes = 20 * MIB}},
	{"public.ecr.aws",
	 {.chunk_min_bytes = 5 * MIB, .chunk_max_bytes = 20 * MIB}},
};

void push_habits_init(struct push_habits *h, const char *host)
{
	*h = (struct push_habits){.no_whole = false};
	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		if (fnmatch(hosts[i].pattern, host, FNM_CASEFOLD) == 0) {
			*h = hosts[i].habits;
			return;
		}
	}
}

void push_habits_learn(struct push_habits *h, const struct push_habits *more)
{
	h->wants_whole |= more->wants_whole;
	h->no_whole |= more->no_whole;
	h->no_stream |= more->no_stream;
	h->no_unsized |= more->no_unsized;
	h->no_chunks |= more->no_chunks;
	h->no_empty_put |= more->no_empty_put;
	h->asks_first |= more->asks_first;
	if (more->chunk_min_bytes > h->chunk_min_bytes &&
	    more->chunk_min_bytes <= CHUNK_MIN_MAX)
		h->chunk_min_bytes = more->chunk_min_bytes;
	if (more->chunk_max_bytes &&
	    (!h->chunk_max_bytes || more->chunk_max_bytes < h->chunk_max_bytes))
		h->chunk_max_bytes = more->chunk_max_bytes;
}

/* The smallest maximum that is worth a try. */
static uint64_t safe_chunk(const struct push_habits *h)
{
	return h->chunk_min_bytes > CHUNK_SAFE_BYTES ? h->chunk_min_bytes
						     : CHUNK_SAFE_BYTES;
}

bool push_habits_refused(struct push_habits *h, const struct push_part *part,
			 int status)
{
	switch (part->form) {
	case PUSH_WHOLE:
		h->no_whole = true;
		break;
	case PUSH_STREAM:
		if (status == 411 && part->to == PUSH_TO_END)
			h->no_unsized = true;
		else
			h->no_stream = true;
		break;
	case PUSH_CHUNKS:
		if (part->to - part->from > safe_chunk(h))
			h->chunk_max_bytes = safe_chunk(h);
		else
			h->no_chunks = true;
		break;
	case PUSH_COMMIT:
		if (h->no_empty_put)
			return false;
		h->no_empty_put = true;
		break;
	case PUSH_NO_FORM:
		return false;
	}
	return push_form_choose(h, true, false) != PUSH_NO_FORM;
}

enum push_form push_form_choose(const struct push_habits *h, bool sized,
				bool small)
{
	bool whole_first = small || (sized && h->wants_whole);

	if (whole_first && !h->no_whole)
		return PUSH_WHOLE;
	if (!h->no_stream && (sized || !h->no_unsized))
		return PUSH_STREAM;
	if (!h->no_chunks)
		return PUSH_CHUNKS;
	return h->no_whole ? PUSH_NO_FORM : PUSH_WHOLE;
}

uint64_t push_chunk_bytes(const struct push_habits *h, uint64_t left)
{
	uint64_t n = h->chunk_max_bytes;

	if (!n)
		n = left == PUSH_TO_END ? CHUNK_BYTES : left;
	if (n < h->chunk_min_bytes)
		n = h->chunk_min_bytes;
	return n < left ? n : left;
}

int push_parse_range(const char *value, uint64_t sent, uint64_t *ret_stored)
{
	unsigned long long last;

	if (str_prefix(value, "bytes=") || str_prefix(value, "bytes "))
		value += 6;
	if (!str_prefix(value, "0-"))
		return -EBADMSG;
	value += 2;
	if (strcmp(value, "-1") == 0) {
		*ret_stored = 0;
		return 0;
	}
	if (str_to_u64(value, INT64_MAX, &last) < 0)
		return -EBADMSG;
	if (last == 0)
		*ret_stored = sent == 1 ? 1 : 0;
	else
		*ret_stored = (uint64_t)last + 1;
	return 0;
}
