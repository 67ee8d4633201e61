/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A directory that is ours alone, held by a descriptor: who can write to it,
 * or can decide where its name leads, could make us write elsewhere.
 */

/*
 * Opens `path`, making it and its parents (0700) if need be.  Refused are, with
 * a reason for people in *ret_why (caller frees; NULL if there is none):
 * -ELOOP, a symbolic link; -EPERM, what belongs to someone else or may be
 * written to by others, and a link on the way there that neither we nor root
 * has made; -ENOTDIR.
 */
int privatedir_open(const char *path, char **ret_why, int *ret_fd);
