# SPDX-License-Identifier: Apache-2.0
"""Range requests as Go's http.ServeContent answers them."""
import re

from emulator.reply import Reply
from emulator.store import BytesContent

SPEC = re.compile(r"^\s*(\d*)-(\d*)\s*$")


def parse_ranges(value, size):
    """[(first, last)] of a Range header, [] if none fits; None: no header.
    ValueError: no range at all."""
    if not value:
        return None
    if not value.startswith("bytes="):
        raise ValueError("invalid range")
    found = []
    for part in value[6:].split(","):
        m = SPEC.match(part)
        if not m or m.groups() == ("", ""):
            raise ValueError("invalid range")
        first, last = m.groups()
        if first == "":
            first, last = max(0, size - int(last)), size - 1
        else:
            if last and int(last) < int(first):
                raise ValueError("invalid range")
            first, last = int(first), min(int(last or size - 1), size - 1)
        if first <= last and first < size:
            found.append((first, last))
    return found


def blob_reply(request, content, ranges=True, headers=(), lying_416=False):
    """200, 206 or 416 for a content."""
    headers = list(headers)
    if not any(k == "Content-Type" for k, _ in headers):
        headers.append(("Content-Type", "application/octet-stream"))
    if not ranges:
        return Reply(200, headers, content)
    headers.append(("Accept-Ranges", "bytes"))
    try:
        wanted = parse_ranges(request.headers.get("Range"), content.size)
    except ValueError as e:
        return _refused(content, headers, str(e), lying_416)
    if wanted is None:
        return Reply(200, headers, content)
    if not wanted:
        headers.append(("Content-Range", f"bytes */{content.size}"))
        return _refused(content, headers, "invalid range: failed to overlap", lying_416)
    if len(wanted) > 1:
        return _multipart(content, wanted, headers)
    first, last = wanted[0]
    headers.append(("Content-Range", f"bytes {first}-{last}/{content.size}"))
    return Reply(206, headers, content, first, last - first + 1)


def _refused(content, headers, reason, lying):
    """416.  Distribution 2.8 leaves the Content-Length of the whole blob in it."""
    reply = Reply(416, headers, BytesContent(reason.encode() + b"\n"))
    reply.set("Accept-Ranges", None)
    reply.set("Content-Type", "text/plain; charset=utf-8")
    if lying:
        reply.set("Content-Length", content.size)
    return reply


def _multipart(content, wanted, headers):
    body, mark = bytearray(), "b0undary"
    for first, last in wanted:
        body += (f"--{mark}\r\nContent-Type: application/octet-stream\r\n"
                 f"Content-Range: bytes {first}-{last}/{content.size}\r\n\r\n").encode()
        body += b"".join(content.slices(first, last - first + 1)) + b"\r\n"
    body += f"--{mark}--\r\n".encode()
    reply = Reply(206, headers, BytesContent(body))
    reply.set("Content-Type", f"multipart/byteranges; boundary={mark}")
    return reply
