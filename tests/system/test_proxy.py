# SPDX-License-Identifier: Apache-2.0
"""The delaying proxy: nothing lost, back-pressure, half-close, speed."""
import hashlib
import os
import socket
import threading
import time

from tools import wait_until


def serve_once(handle):
    """Runs handle(connection) for one connection; returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work():
        with listener, listener.accept()[0] as connection:
            handle(connection)

    threading.Thread(target=work, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def receive_all(sock):
    data = bytearray()
    while piece := sock.recv(1 << 20):
        data += piece
    return bytes(data)


def connect(p):
    sock = socket.create_connection(("127.0.0.1", p.port))
    sock.settimeout(20)
    return sock


def test_half_close(proxy):
    """The server answers after the client's end of file."""
    def digest(connection):
        data = receive_all(connection)
        connection.sendall(hashlib.sha256(data).hexdigest().encode())

    data = os.urandom(3_000_000)
    with connect(proxy(serve_once(digest), delay_ms=5)) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        assert receive_all(s).decode() == hashlib.sha256(data).hexdigest()


def test_latency(proxy):
    """One exchange costs the handshake and one round trip."""
    address = serve_once(lambda c: [c.sendall(c.recv(10)) for _ in range(3)])
    with connect(proxy(address, delay_ms=20)) as s:
        times = []
        for _ in range(3):
            start = time.monotonic()
            s.sendall(b"x")
            assert s.recv(10) == b"x"
            times.append(time.monotonic() - start)
    assert 0.075 < times[0] < 0.2
    assert all(0.038 < t < 0.12 for t in times[1:])


def test_rate(proxy):
    address = serve_once(lambda c: c.sendall(bytes(4_000_000)))
    with connect(proxy(address, rate="10M")) as s:
        start = time.monotonic()
        assert len(receive_all(s)) == 4_000_000
        assert 0.35 < time.monotonic() - start < 0.8


def test_fast_enough(proxy):
    """At least 125 MB/s through 15 ms each way."""
    block = bytes(1 << 20)
    address = serve_once(lambda c: [c.sendall(block) for _ in range(128)])
    with connect(proxy(address, delay_ms=15)) as s:
        start, total = time.monotonic(), 0
        while piece := s.recv(1 << 20):
            total += len(piece)
        assert total == 128 << 20
        assert total / (time.monotonic() - start) > 125e6


def test_back_pressure(proxy):
    """A reader that stops stops the sender, and loses nothing."""
    sent = []

    def pour(connection):
        for _ in range(64):
            connection.sendall(bytes(1 << 20))
            sent.append(1)

    with connect(proxy(serve_once(pour), delay_ms=5, rate="1G")) as s:
        wait_until(lambda: sent, what="the first megabyte")
        time.sleep(0.5)
        before = len(sent)
        assert before < 60
        assert len(receive_all(s)) == 64 << 20


def test_reset_is_passed_on(proxy):
    def reset(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              b"\1\0\0\0\0\0\0\0")

    with connect(proxy(serve_once(reset))) as s:
        s.sendall(b"x")
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
