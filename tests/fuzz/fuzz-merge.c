/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers, as scripts (see layer-script.h), built and merged: the trees are
 * sound, and what the model says they are.
 */
#include "../unit/layer-model.h"

#define INPUT_MAX 4096 /* checking takes the square of it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of names that have to be shortened the model knows nothing. */
static bool has_long_names(const char *text, size_t len)
{
	size_t run = 0;

	for (size_t i = 0; i < len; i++) {
		run = text[i] == '/' || text[i] == '\n' ? 0 : run + 1;
		if (run > TREE_NAME_MAX)
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store *store;
	const char *text = (const char *)data;
	struct stack k;

	if (size > INPUT_MAX)
		return 0;
	if (!store)
		must(store_open(&(struct store_config){.dir = NULL}, &store,
				NULL) == 0);
	stack_build(&k, store, text, size);
	stack_check(&k);
	if (!has_long_names(text, size))
		model_check(&k, text, size);
	stack_done(&k);
	return 0;
}
