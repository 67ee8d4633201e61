/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where every user has a group of his own (the usual umask is 002 there), that
 * the group may write to a file says nothing of others.
 */
#include <stdbool.h>
#include <sys/types.h>

/*
 * Is the group that of user `uid` alone: named after him, his first one, and
 * nobody else's?  As files like /etc/passwd and /etc/group say, which is all
 * that is asked: a directory service might let us wait.  False if in doubt.
 */
bool privategroup_is(const char *passwd, const char *group, uid_t uid,
		     gid_t gid);
