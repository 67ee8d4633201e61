# SPDX-License-Identifier: Apache-2.0
"""The storage host behind redirects: signed URLs as S3 and its like give them.

A URL is bound to a method, expires, and refuses a forwarded Authorization and
several ranges at once.
"""
import hashlib
import hmac
import os
import time

from emulator.ranges import blob_reply
from emulator.reply import Reply, text

XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message></Error>'


class Storage:
    def __init__(self, store, profile):
        self.store = store
        self.profile = profile
        self.origin = ""                # set when the port is known
        self.key = os.urandom(16)

    def expire_urls(self):
        """Makes every URL given so far worthless."""
        self.key = os.urandom(16)

    def _sign(self, method, digest, expires):
        what = f"{method} {digest} {expires}".encode()
        return hmac.new(self.key, what, hashlib.sha256).hexdigest()

    def redirect(self, request, digest):
        method = request.method
        expires = f"{time.time() + self.profile.url_ttl:.3f}"
        origin = "" if self.profile.storage_here else request.near(self.origin) \
            if self.profile.near else self.origin
        url = (f"{origin}{self.profile.storage_path}{digest}?X-Emu-Expires={expires}"
               f"&X-Emu-Signature={self._sign(method, digest, expires)}")
        return Reply(self.profile.redirect,
                     [("Location", url), ("Content-Type", "text/html")])

    def answer(self, request):
        digest = request.path.removeprefix(self.profile.storage_path)
        if "Authorization" in request.headers and self.profile.storage_auth:
            return _error(self.profile.storage_auth, "InvalidArgument",
                          self.profile.storage_text)
        if "," in (request.headers.get("Range") or ""):
            return _error(400, "InvalidRequest", "one range only")
        expires = request.arg("X-Emu-Expires", "")
        good = self._sign(request.method, digest, expires)
        if not hmac.compare_digest(good, request.arg("X-Emu-Signature", "")):
            return _error(403, "SignatureDoesNotMatch", "bad signature")
        if float(expires) < time.time():
            return _error(403, "AccessDenied", "Request has expired")
        content = self.store.contents.get(digest)
        if content is None:
            return _error(404, "NoSuchKey", "no such key")
        return blob_reply(request, content, self.profile.ranges)


def _error(status, code, message):
    return text(status, XML.format(code, message), "application/xml")
