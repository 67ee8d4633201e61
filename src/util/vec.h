/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Typed growable arrays.  VEC(T) declares an anonymous struct; elements are
 * moved by realloc, so pointers into `v` do not survive a push.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VEC(T)                                                                 \
	struct {                                                               \
		T *v;                                                          \
		size_t len, cap;                                               \
	}

/* The moved array with room for more; NULL (and v still valid): no memory. */
void *vec_grow_(void *v, size_t *cap, size_t elem_size);

/* Appends a copy of `item`; 0 or -ENOMEM. */
#define vec_push(vec, item)                                                    \
	({                                                                     \
		int vec_r_ = 0;                                                \
		if ((vec)->len == (vec)->cap) {                                \
			void *vec_v_ = vec_grow_((vec)->v, &(vec)->cap,        \
						 sizeof(*(vec)->v));           \
			if (vec_v_)                                            \
				(vec)->v = vec_v_;                             \
			else                                                   \
				vec_r_ = -ENOMEM;                              \
		}                                                              \
		if (vec_r_ == 0)                                               \
			(vec)->v[(vec)->len++] = (item);                       \
		vec_r_;                                                        \
	})
/* Frees the array itself, not what the elements own. */
#define vec_done(vec)                                                          \
	do {                                                                   \
		free((vec)->v);                                                \
		memset((vec), 0, sizeof(*(vec)));                              \
	} while (0)
