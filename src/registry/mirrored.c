/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts of which a mirror for everything holds something: the directories
 * beneath its path that could be a host's.  Believed for a while, since all of
 * its list has to be read for it. */
#include <errno.h>
#include <string.h>

#include "registry/host.h"
#include "registry/pager.h"
#include "registry/registries_private.h"
#include "util/auto.h"
#include "util/clock.h"

#define MIRRORED_MS 60000
#define RETRY_MS 10000 /* after a failure */
#define MIRRORED_MAX 4096

/* "host", "host/team/app", "host/" */
static int add_host(const char *name, struct string_list *list)
{
	autofree char *first = strndup(name, strcspn(name, "/"));
	char host[REFERENCE_HOST_MAX + 1];
	int r = first ? mirror_host(first, host) : -ENOMEM;

	if (r < 0 || list->len >= MIRRORED_MAX)
		return r == -ENOMEM ? r : 0;
	return string_list_add_once(list, host);
}

static int read_all(struct registries *rs, struct wait *w,
		    struct string_list *list)
{
	struct pager *p;
	bool more = true;
	int r = pager_open_hosts(rs->top, rs->path, &p);

	if (r < 0)
		return r;
	while (r == 0 && more) {
		struct string_list page = {.v = NULL};

		r = pager_next(p, w, &page, &more);
		for (size_t i = 0; r == 0 && i < page.len; i++)
			r = add_host(page.v[i], list);
		string_list_done(&page);
	}
	pager_close(p);
	return r;
}

/* What is known.  1: that is not old. */
static int find_known(struct registries *rs, struct string_list *ret)
{
	int r = 0;

	autolock(&rs->lock);
	for (size_t i = 0; r == 0 && i < rs->mirrored.len; i++)
		r = string_list_add_once(ret, rs->mirrored.v[i]);
	return r < 0 ? r : clock_ms() < rs->mirrored_until_ms;
}

/* Of a list that could not be had, what was known before stays. */
static void keep(struct registries *rs, struct string_list *list, int error)
{
	struct string_list old = {.v = NULL};

	{
		autolock(&rs->lock);
		rs->mirrored_until_ms =
			clock_ms() + (error ? RETRY_MS : MIRRORED_MS);
		if (error == 0) {
			old = rs->mirrored;
			rs->mirrored = *list;
			*list = (struct string_list){.v = NULL};
		}
	}
	string_list_done(&old);
}

int registries_mirrored(struct registries *rs, struct wait *w,
			struct string_list *ret)
{
	struct string_list list = {.v = NULL};
	int r;

	if (!rs->top)
		return 0;
	r = find_known(rs, ret);
	if (r != 0)
		return r < 0 ? r : 0;
	r = read_all(rs, w, &list);
	for (size_t i = 0; r == 0 && i < list.len; i++)
		r = string_list_add_once(ret, list.v[i]);
	if (r != -ENOMEM && r != -EINTR)
		keep(rs, &list, r);
	string_list_done(&list);
	return r;
}
