/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody is asked: the grammar of the Hub's names decides. */
#include "fs/shortname.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "fs/file_text.h"
#include "util/auto.h"
#include "util/str.h"

bool short_name(const char *host, const char *repository)
{
	return strcmp(hostname_canonical(host), "docker.io") == 0 &&
	       *repository && !strchr(repository, '/');
}

int short_link_new(struct node *dir, const char *name, const char *up,
		   const char *rest, struct node *known, struct node **ret)
{
	autofree char *target = str_printf("%slibrary/%s", up, rest);

	if (known) {
		*ret = known;
		return 0;
	}
	return target ? link_new(dir, name, target, NULL, ret) : -ENOMEM;
}
