/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a refusal's body says, a little more of it than registry/wire/fault.h.
 */
#include <stdbool.h>
#include <stddef.h>

#include "registry/wire/fault.h"

/* As fault_parse_body; true if it is an OCI error document (also one whose
 * errors have no code, as Artifactory's): a registry spoke, not a proxy. */
bool fault_read_body(const char *body, size_t len, char code[64],
		     char text[FAULT_TEXT_MAX]);
/* fault_from_status for a request that was to change something: quotas and
 * immutable tags are recognised by what is said about them. */
int fault_from_refusal(int status, const char *code, const char *text);
/* The document is a web page, whatever its type is said to be. */
bool fault_is_html(const char *body, size_t len);
/* Copies at most size - 1 bytes, never half of an UTF-8 sequence. */
void fault_copy(char *to, size_t size, const char *from);
