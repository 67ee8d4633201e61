# SPDX-License-Identifier: Apache-2.0
"""A hard limit on the time of each test.

SIGALRM ends a test that waits in Python or in a child.  One that is stuck in a
system call on the mount cannot be interrupted by a handled signal, so a thread
kills the daemons some seconds later: that frees the call.
"""
import signal
import threading

import mounting

GRACE = 10


class TestTimeout(BaseException):
    """Not an Exception, so that no test swallows it."""
    __test__ = False


class Deadline:
    def __init__(self, seconds, name):
        self.text = f"{name}: over {seconds} s"
        self.seconds = seconds
        self.watchdog = threading.Timer(seconds + GRACE, mounting.kill_live)
        self.watchdog.daemon = True

    def __enter__(self):
        signal.signal(signal.SIGALRM, self._expired)
        signal.alarm(self.seconds)
        self.watchdog.start()

    def __exit__(self, *exc):
        signal.alarm(0)
        self.watchdog.cancel()

    def _expired(self, signum, frame):
        signal.alarm(2 * GRACE)         # cleaning up may hang as well
        raise TestTimeout(self.text)
