/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The header of a gzip member (RFC 1952, section 2.3), byte by byte: nothing
 * of it is kept, so names and comments may be of any length.
 */
#include <stdbool.h>
#include <stdint.h>

struct gziphead {
	uint8_t field; /* which one is being read */
	uint8_t flags;
	uint32_t left; /* bytes of it to come */
	uint32_t value;
	uint32_t crc; /* of all bytes before the one being read */
	const char *error;
};

void gziphead_init(struct gziphead *h);
/* 1: that was the last byte; 0: there are more; -EBADMSG: see `error`. */
int gziphead_feed(struct gziphead *h, uint8_t byte);
