/* SPDX-License-Identifier: Apache-2.0 */
/* A link to a next page, a newline, a page of a vendor's list: the link stays
 * at home, every name comes from the page. */
#include "registry/vendor.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/url.h"
#include "registry/host.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOME "https://api.test:8/v2/list?page=1"

static int add(const struct json *one, const char *area,
	       struct string_list *names)
{
	const char *s = json_string(json_find(one, "name"));

	(void)area;
	return s ? string_list_add(names, s) : 0;
}

static void follow(const char *link)
{
	struct url a = {.host = NULL}, b = {.host = NULL};
	char *next = NULL;

	if (vendor_next(HOME, link, &next) < 0)
		return;
	if (url_parse(HOME, &a) < 0 || url_parse(next, &b) < 0 ||
	    !url_same_origin(&a, &b))
		abort();
	url_done(&a);
	url_done(&b);
	free(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct registries_config cfg = {.http = NULL};
	static const struct vendor_list lists[] = {{"results", add},
						   {NULL, add}};
	struct registry r = {.cfg = &cfg};
	struct vendor_answer a = {.status = 200};
	char *text = malloc(size + 1);
	char *page;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	page = memchr(text, '\n', size);
	if (page)
		*page++ = '\0';
	follow(text);
	if (page && json_parse_lenient(page, size - (size_t)(page - text),
				       VENDOR_BYTES_MAX, &a.doc, NULL) == 0) {
		for (size_t i = 0; i < 2; i++) {
			struct string_list names = {.v = NULL};

			vendor_add_names(&r, &lists[i], "team", "team", &a,
					 &names);
			string_list_done(&names);
		}
	}
	vendor_answer_done(&a);
	free(text);
	return 0;
}
