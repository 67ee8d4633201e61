/* SPDX-License-Identifier: Apache-2.0 */
/* What the journal has was begun at one place, and is finished there only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "push/outbox_private.h"
#include "util/auto.h"

int outbox_host_of(struct outbox *o, const char *place, char **ret)
{
	autofree char *host = strndup(place, strcspn(place, "@"));
	autofree char *now = NULL;
	int r = host ? content_place(o->content, host, &now) : -ENOMEM;

	if (r < 0)
		return r;
	if (strcmp(now, place) != 0)
		return -EREMCHG;
	*ret = steal(&host);
	return 0;
}
