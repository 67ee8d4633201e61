/* SPDX-License-Identifier: Apache-2.0 */
/* The length alone is kept: memory grows whenever it reaches a power of two. */
#include "config/stringlist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void string_list_done(struct string_list *l)
{
	for (size_t i = 0; i < l->len; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct string_list){0};
}

int string_list_add(struct string_list *l, const char *s)
{
	char *copy = strdup(s);
	char **v;

	if (!copy)
		return -ENOMEM;
	if ((l->len & (l->len - 1)) == 0) {
		v = reallocarray(l->v, l->len ? 2 * l->len : 1, sizeof(*v));
		if (!v) {
			free(copy);
			return -ENOMEM;
		}
		l->v = v;
	}
	l->v[l->len++] = copy;
	return 0;
}

bool string_list_has(const struct string_list *l, const char *s)
{
	for (size_t i = 0; i < l->len; i++) {
		if (strcmp(l->v[i], s) == 0)
			return true;
	}
	return false;
}

int string_list_add_once(struct string_list *l, const char *s)
{
	return string_list_has(l, s) ? 0 : string_list_add(l, s);
}
