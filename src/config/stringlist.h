/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A list of owned strings.  Zeroed means empty.  Not thread safe. */
#include <stdbool.h>
#include <stddef.h>

struct string_list {
	char **v;
	size_t len;
};

void string_list_done(struct string_list *l); /* frees, and zeroes */
int string_list_add(struct string_list *l, const char *s);
bool string_list_has(const struct string_list *l, const char *s);
/* Adds what is not there yet. */
int string_list_add_once(struct string_list *l, const char *s);

#define autostrings                                                            \
	__attribute__((cleanup(string_list_done))) struct string_list
