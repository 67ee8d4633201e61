#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the emulator as a process: prints its ports as one JSON line, then serves.

    python3 tests/emulator/emulator.py --profile distribution --port 0
    python3 tests/emulator/emulator.py --profile bearer --set redirect=307
"""
import sys
from pathlib import Path

# The folder holding the package must come before the package's own folder,
# in which this very file would be found as the module "emulator".
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from emulator.server import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
