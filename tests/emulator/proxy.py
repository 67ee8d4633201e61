#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that adds latency and limits bandwidth, and loses nothing.

    python3 tests/emulator/proxy.py --to 127.0.0.1:5000 --delay-ms 15 --rate 125M

Each direction of each connection is a queue of (due time, data).  The reader of
a queue stops when a link of that delay and rate would be full, so back-pressure
reaches the sender; end of file travels through the queue like data, so a
half-closed connection stays open the other way.  The rate is shared by all
connections of one direction, as on a real link.  The first data of a connection
waits one round trip more: the handshake that a real link would have needed.
"""
import argparse
import asyncio
import collections
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

PIECE = 256 * 1024
UNITS = {"k": 10**3, "M": 10**6, "G": 10**9}


async def together(*coroutines):
    """Like gather, but when one fails the others are cancelled."""
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


class Link:
    """One direction of the line: says when a piece has arrived."""

    def __init__(self, delay, rate):
        self.delay = delay
        self.rate = rate
        self.free_at = 0.0
        self.piece = PIECE
        self.window = 64 * PIECE
        if rate:
            self.piece = int(min(PIECE, max(1500, rate * 0.002)))
            self.window = int(max(256 * 1024, 2 * rate * (delay + 0.01)))

    def due(self, now, size):
        if self.rate:
            self.free_at = max(now, self.free_at) + size / self.rate
            return self.free_at + self.delay
        return now + self.delay


class Pipe:
    """One direction of one connection."""

    def __init__(self, link, source, sink, first_delay=0.0):
        self.link = link
        self.source = source
        self.sink = sink
        self.extra = first_delay
        self.queue = collections.deque()
        self.queued = 0
        self.changed = asyncio.Event()
        self.room = asyncio.Event()

    async def run(self):
        await together(self._fill(), self._drain())

    async def _fill(self):
        loop = asyncio.get_running_loop()
        while True:
            while self.queued >= self.link.window:
                self.room.clear()
                await self.room.wait()
            data = await loop.sock_recv(self.source, self.link.piece)
            due = self.link.due(loop.time() + self.extra, len(data))
            self.extra = 0.0
            self.queue.append((due, data))
            self.queued += len(data)
            self.changed.set()
            if not data:
                return

    async def _drain(self):
        loop = asyncio.get_running_loop()
        while True:
            while not self.queue:
                self.changed.clear()
                await self.changed.wait()
            due, data = self.queue.popleft()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                with contextlib.suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self.sink, data)
            self.queued -= len(data)
            self.room.set()


class Proxy:
    def __init__(self, target, delay=0.0, rate=0):
        self.target = target
        self.delay = delay
        self.up = Link(delay, rate)
        self.down = Link(delay, rate)
        self.tasks = set()

    async def listen(self, port=0):
        """Binds and starts accepting; returns the port."""
        sock = socket.create_server(("127.0.0.1", port), backlog=512)
        sock.setblocking(False)
        self._keep(self._accept(sock))
        return sock.getsockname()[1]

    def _keep(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _accept(self, sock):
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(sock)
            self._keep(self._serve(client))

    async def _serve(self, client):
        server = socket.socket()
        pair = (client, server)
        try:
            for s in pair:
                s.setblocking(False)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(server, self.target)
            await together(
                Pipe(self.up, client, server, 2 * self.delay).run(),
                Pipe(self.down, server, client).run())
        except OSError:
            for s in pair:              # a reset is passed on as a reset
                with contextlib.suppress(OSError):
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        finally:
            for s in pair:
                s.close()


class ProxyProcess:
    """with ProxyProcess("127.0.0.1:5000", delay_ms=15) as p: p.address"""

    def __init__(self, target, delay_ms=0.0, rate="0"):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--to", target,
             "--delay-ms", str(delay_ms), "--rate", str(rate)],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the proxy did not start")
        self.port = json.loads(line)["port"]
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(5)
        self.process.stdout.close()


def parse_rate(text):
    """"125M" -> 125000000 bytes a second; 0: no limit."""
    if text[-1:] in UNITS:
        return int(float(text[:-1]) * UNITS[text[-1]])
    return int(text)


async def serve(options):
    host, _, port = options.to.rpartition(":")
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    proxy = Proxy((host, int(port)), options.delay_ms / 1000, parse_rate(options.rate))
    port = await proxy.listen(options.port)
    print(json.dumps({"pid": os.getpid(), "port": port}), flush=True)
    parent = os.getppid()
    while not done.is_set() and os.getppid() == parent:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(done.wait(), 1.0)
    for task in list(proxy.tasks):
        task.cancel()


def main():
    parser = argparse.ArgumentParser(description="delaying TCP proxy")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="each way")
    parser.add_argument("--rate", default="0", help="bytes a second, e.g. 125M")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
