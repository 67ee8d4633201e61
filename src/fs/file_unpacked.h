/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A file inside a layer or a root filesystem: regular, symbolic link, or what
 * has no content (devices, named pipes, sockets). */
#include "fs/node_unpacked.h"

/* The kind for this mode; NULL: a directory, or nothing we know. */
const struct node_ops *file_unpacked_ops(uint32_t mode);
