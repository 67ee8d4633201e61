/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* SOURCE and MOUNTPOINT of a mount, as people write them. */
#include <stdbool.h>

/*
 * HOST[:PORT][/NAMESPACE], also with docker://, https:// or http:// before it;
 * *ret is canonical, or NULL for all registries ("", "registryfs", "none",
 * "all").  -EINVAL with the end of a sentence.
 */
int source_parse(const char *s, char **ret, bool *ret_plain_http,
		 const char **ret_reason);
/*
 * Absolute, with the symbolic links of its parents resolved but not its own
 * (what is mounted there may be dead, and is not touched).
 */
int mountpoint_absolute(const char *s, char **ret);
