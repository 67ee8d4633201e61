/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte is the number of layers, from '0'; the rest the config. */
#include <stdint.h>
#include <stdlib.h>

#include "oci/imageconf.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The steps make each layer once, in order. */
static void check(const struct imageconf *c, size_t layers)
{
	char name[3 * PLATFORM_PART_MAX];
	size_t next = 0;

	platform_name(&c->platform, name);
	for (size_t i = 0; i < c->steps_len; i++) {
		int layer = c->steps[i].layer;

		if (c->steps[i].empty_layer != (layer == -1))
			abort();
		if (layer >= 0 && (size_t)layer != next++)
			abort();
	}
	if (c->steps_len > 0 && next != layers)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_error err;
	struct imageconf *c;
	size_t layers;

	if (size == 0)
		return 0;
	layers = (size_t)(uint8_t)(data[0] - '0');
	if (imageconf_parse((const char *)data + 1, size - 1, layers, &c,
			    &err) < 0)
		return 0;
	check(c, layers);
	imageconf_free(c);
	return 0;
}
