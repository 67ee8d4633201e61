/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * In which form a registry takes a blob (registries.md A.4, D): what is known
 * of it by its name, what its refusals teach, and what is asked of it next.
 * Pure.
 */
#include <stdbool.h>
#include <stdint.h>

#define PUSH_TO_END UINT64_MAX

enum push_form {
	PUSH_NO_FORM, /* none is left */
	PUSH_WHOLE,   /* one PUT with all of it */
	PUSH_STREAM,  /* one PATCH without Content-Range, an empty PUT */
	PUSH_CHUNKS,  /* PATCHes with Content-Range, an empty PUT */
	PUSH_COMMIT,  /* all bytes are there: that empty PUT */
};

/* What a host takes.  Only ever grows in knowledge; 0: not known. */
struct push_habits {
	bool wants_whole; /* wherever the size is known */
	bool no_whole;
	bool no_stream;
	bool no_unsized; /* streams need a Content-Length */
	bool no_chunks;
	bool no_empty_put; /* the last bytes have to come with the PUT */
	bool asks_first;   /* a mount was refused: HEAD goes before it */
	uint64_t chunk_min_bytes, chunk_max_bytes;
};

/* One request with bytes [from, to). */
struct push_part {
	enum push_form form;
	uint64_t from, to; /* PUSH_TO_END: as far as the source goes */
	bool ranged;	   /* with Content-Range */
	bool commits;	   /* it is a PUT */
	bool holds_tail;   /* all but the last piece */
};

/* By the registry's name ("host" or "host:port"). */
void push_habits_init(struct push_habits *h, const char *host);
/* Adds what `more` knows. */
void push_habits_learn(struct push_habits *h, const struct push_habits *more);
/* `part` was refused with this status.  True: there is another way. */
bool push_habits_refused(struct push_habits *h, const struct push_part *part,
			 int status);
/* `small`: sent again as a whole at no cost. */
enum push_form push_form_choose(const struct push_habits *h, bool sized,
				bool small);
/* How long the next chunk is, of `left` bytes (PUSH_TO_END: not known). */
uint64_t push_chunk_bytes(const struct push_habits *h, uint64_t left);

/*
 * How many bytes an upload session holds, by its Range: "0-N", "bytes=0-N",
 * "bytes=0--1" (Quay: none).  "0-0" is one byte or none: `sent` decides.
 * -EBADMSG.
 */
int push_parse_range(const char *value, uint64_t sent, uint64_t *ret_stored);
