/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A draft that is begun and written to file by file, not by a table of steps.
 */
#include "draft-script.h"

static void put(struct draft *d, const char *path, char content)
{
	size_t i = content_at(content);
	struct writer *w;
	struct wait wait;
	char real[256];

	wait_init(&wait, 5000, 0);
	assert_int_equal(draft_write(d, script_path(path, real), true, 10, &w),
			 0);
	assert_int_equal(writer_write(w, contents[i].text, contents[i].len, 0,
				      &patience),
			 0);
	assert_int_equal(writer_flush(w, 10, &wait), 0);
	writer_close(w);
}

static struct draft *begin(void)
{
	struct draft *d;

	contents_setup();
	assert_int_equal(draft_open(&box, &here, "1.5", &d), 0);
	return d;
}
