/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One 512-byte header of a tar archive: its sum, its numbers, its fields.
 * Knows nothing of what other headers say about the same entry.  Pure.
 */
#include <stddef.h>
#include <stdint.h>

#include "layer/tar.h"

#define TARHEADER_NAME_MAX 256 /* prefix, slash, name */
#define TARHEADER_LINK_MAX 100
#define TARHEADER_OLD_PAIRS 4	/* of a sparse map, in a GNU header ... */
#define TARHEADER_MORE_PAIRS 21 /* ... and in each block after it */

enum tar_sum { TAR_SUM_WRONG, TAR_SUM_RIGHT, TAR_SUM_ZEROS /* all of it */ };

enum tar_magic { TAR_V7, TAR_USTAR, TAR_STAR, TAR_GNU };

struct tarheader {
	enum tar_magic magic;
	char type; /* the flag as it is */
	uint64_t size_bytes;
	uint32_t mode, uid, gid;
	int64_t mtime_s;
	uint32_t major, minor;
	size_t name_len, link_len;
	char name[TARHEADER_NAME_MAX + 1];
	char link[TARHEADER_LINK_MAX + 1];
};

enum tar_sum tarheader_sum(const uint8_t block[TAR_BLOCK]);
char tarheader_type(const uint8_t block[TAR_BLOCK]);
/* Octal or base-256; what does not fit becomes the nearest that does.
 * -EBADMSG: neither. */
int tar_number(const uint8_t *field, size_t len, int64_t *ret);
/* An owner: what no Linux can have becomes "nobody", never root. */
uint32_t tar_owner(int64_t id);
uint32_t tar_device(int64_t number);
/* -EBADMSG also if it is negative. */
int tarheader_size(const uint8_t block[TAR_BLOCK], uint64_t *ret);
/* -EBADMSG, and in *ret_why what is wrong. */
int tarheader_parse(const uint8_t block[TAR_BLOCK], struct tarheader *ret,
		    const char **ret_why);
