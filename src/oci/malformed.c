/* SPDX-License-Identifier: Apache-2.0 */
/* Findings of our own beside those of the JSON getters, in the same form. */
#include "oci/malformed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "util/json.h"

int malformed(struct json_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -EBADMSG;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EBADMSG;
}
