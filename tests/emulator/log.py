# SPDX-License-Identifier: Apache-2.0
"""The request log: one entry per request, made when it arrives."""
import threading
import time


class Log:
    """Entries are plain dicts; "status" is None while a request is open."""

    def __init__(self):
        self.lock = threading.Lock()
        self.entries = []
        self.connections = 0

    def start(self, where, port, client, request):
        entry = {
            "where": where, "port": port, "client": client,
            "method": request.method, "target": request.target,
            "path": request.path,
            "headers": {k.lower(): v for k, v in request.headers.items()},
            "time": time.time(), "status": None, "sent": 0, "received": 0, "rule": None,
            "end": None, "problem": None,
        }
        with self.lock:
            entry["seq"] = len(self.entries)
            self.entries.append(entry)
        return entry

    def connected(self):
        with self.lock:
            self.connections += 1

    def since(self, seq):
        with self.lock:
            return [dict(e) for e in self.entries[seq:]]

    def clear(self):
        with self.lock:
            self.entries = []
            self.connections = 0
