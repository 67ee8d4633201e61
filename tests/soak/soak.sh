#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The proof of robustness, part by part; see --help.  REGISTRYFS is the program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONDONTWRITEBYTECODE=1
exec "${PYTHON:-python3}" "$here/soak.py" "$@"
