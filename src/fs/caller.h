/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What does somebody look a name up for?  The kernel does not say; /proc does,
 * to whoever may trace the caller.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum caller_intent {
	CALLER_UNKNOWN, /* it cannot be seen */
	CALLER_OTHER,
	CALLER_LOOKS, /* is it there, or to open it as it is */
	CALLER_MAKES, /* something of that name, which should not be there */
	CALLER_MAKES_DIRECTORY, /* likewise */
};
enum caller_intent caller_intent(pid_t tid);
/* The same of the text of /proc/TID/syscall. */
enum caller_intent caller_parse(const char *text);
/* Has neither the process nor one that it has made a descriptor (any more) of
 * the file with this st_ino?  False also if that cannot be seen. */
bool caller_is_last(pid_t tid, uint64_t ino);
