# SPDX-License-Identifier: Apache-2.0
"""Starts an emulator process and talks to its control port."""
import http.client
import json
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().with_name("emulator.py")


class EmulatorProcess:
    """with EmulatorProcess("bearer", "redirect=307") as emu: …"""

    def __init__(self, profile="distribution", *settings, port=0, host="127.0.0.1",
                 tls=None, client_ca=None):
        command = [sys.executable, str(SCRIPT), "--profile", profile,
                   "--port", str(port), "--host", host]
        for item in settings:
            command += ["--set", item]
        if tls:
            command += ["--cert", str(tls[0]), "--key", str(tls[1])]
        if client_ca:
            command += ["--client-ca", str(client_ca)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the emulator did not start")
        self.host = "127.0.0.1" if host == "lo" else host
        self.ports = json.loads(line)
        name = f"[{host}]" if ":" in host else self.host
        self.address = f"{name}:{self.ports['registry']}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def ask_to_stop(self):
        """So that several can do so at the same time."""
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self):
        self.ask_to_stop()
        if self.process.poll() is None:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.process.stdout.close()

    # -- calls -------------------------------------------------------------------
    def call(self, name, /, **arguments):
        return self._post(f"/_emu/{name}", json.dumps(arguments).encode())

    def _post(self, path, body):
        connection = http.client.HTTPConnection(self.host, self.ports["control"],
                                                timeout=60)
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {value}")
        return value

    def add_blob(self, repo, data):
        return self._post(f"/_emu/blob?repo={repo}", data)

    def add_manifest(self, repo, document, media_type=None, tag=None, digest=None):
        """document: a dict, or the text itself."""
        body = document if isinstance(document, str) else json.dumps(document)
        kind = media_type or document["mediaType"]
        return self.call("manifest", repo=repo, body=body, media_type=kind, tag=tag,
                         digest=digest)

    def fault(self, **spec):
        return self.call("fault", spec=spec)

    def clear_faults(self):
        self.call("clear_faults")

    def hits(self):
        """How often the rules hit, in the order they were made."""
        return [r["hits"] for r in self.call("rules")]

    def set(self, **values):
        self.call("set", values=values)

    # -- log -----------------------------------------------------------------------
    def log(self, where=None, path=None, method=None, since=0):
        """Requests so far; path: a part of the request target."""
        return [e for e in self.call("log", since=since)
                if where in (None, e["where"]) and method in (None, e["method"])
                and (path is None or path in e["target"])]

    def mark(self):
        """A point in the log, for log(since=…)."""
        return len(self.call("log"))

    def wait_log(self, predicate, seconds=5.0):
        """Waits till predicate(entries) is true; returns the entries."""
        until = time.monotonic() + seconds
        while True:
            entries = self.log()
            if predicate(entries):
                return entries
            if time.monotonic() > until:
                raise TimeoutError("the request log never showed it")
            time.sleep(0.02)
