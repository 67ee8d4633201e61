/* SPDX-License-Identifier: Apache-2.0 */
/* The one part of a vector that does not depend on the element's type. */
#include "util/vec.h"

#include <stdint.h>

void *vec_grow_(void *v, size_t *cap, size_t elem_size)
{
	size_t more = *cap ? *cap : 8;
	void *moved;

	if (*cap > SIZE_MAX / elem_size / 2)
		return NULL;
	moved = realloc(v, (*cap + more) * elem_size);
	if (moved)
		*cap += more;
	return moved;
}
