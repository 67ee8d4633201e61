/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The user's directories by the XDG base directory specification: variables
 * that are no absolute paths are ignored.  All are absolute; caller frees.
 * -ENOENT if there is none (no HOME and no entry in the user database).
 */
int userdirs_home(char **ret);
int userdirs_config(char **ret);  /* ${XDG_CONFIG_HOME:-~/.config} */
int userdirs_cache(char **ret);	  /* ${XDG_CACHE_HOME:-~/.cache} */
int userdirs_runtime(char **ret); /* $XDG_RUNTIME_DIR */
/* `path` as it is, beneath the home if it begins with "~/", else beneath the
 * current directory. */
int userdirs_absolute(const char *path, char **ret);
