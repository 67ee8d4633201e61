/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a server's certificate says of itself, for people; nothing is verified
 * here.  All is printable ASCII, cut where it is too long. */
#include <stdbool.h>
#include <stdint.h>

struct certificate {
	char subject[256], issuer[256]; /* "O = Example, CN = Example CA" */
	char names[256];     /* hosts it is for: "a.test, 10.0.0.1" */
	int64_t from, until; /* seconds since 1970 */
	bool is_own;	     /* it is its own signer */
};
int certificate_parse(const char *pem, struct certificate *ret); /* -EBADMSG */
