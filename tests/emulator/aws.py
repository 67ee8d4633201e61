# SPDX-License-Identifier: Apache-2.0
"""Amazon's API beside its registries: ECR and ECR Public, JSON 1.1.

Every request's Signature Version 4 is computed anew from what arrived, with
hashlib and hmac only.  Passwords that are given out are remembered, so that
they can be expired at will; the registry refuses those with 403.
"""
import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from datetime import datetime, timezone

from emulator.reply import Reply, error, text

PREFIX = "ecr-"
SKEW = 300
EXPIRED = "Your authorization token has expired. Reauthenticate and try again."
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})")
SERVICES = {"AmazonEC2ContainerRegistry_V20150921": "ecr",
            "SpencerFrontendService": "ecr-public"}
WRONG = ("The request signature we calculated does not match the signature you "
         "provided. Check your AWS Secret Access Key and signing method. Consult "
         "the service documentation for details.\n\nThe Canonical String for this "
         "request should have been\n'{}'\n\nThe String-to-Sign should have been\n"
         "'{}'\n")
NAME = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*")


class Passwords:
    """What GetAuthorizationToken gave out."""

    def __init__(self):
        self.lock = threading.Lock()
        self.until = {}                 # password -> time

    def issue(self, life):
        word = PREFIX + secrets.token_urlsafe(200)
        with self.lock:
            self.until[word] = time.monotonic() + life
        return word

    def expire(self):
        with self.lock:
            self.until.clear()

    def is_good(self, user, word):
        with self.lock:
            return user == "AWS" and self.until.get(word, 0) > time.monotonic()

    def refusal(self, request, users):
        """What the registry says of a password that is none, or was one."""
        scheme, _, code = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, word = base64.b64decode(code, validate=True).decode() \
                .partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return Reply(400)
        if self.is_good(user, word) or users.get(user) == word:
            return None
        if user == "AWS" and word.startswith(PREFIX):
            return error(403, "DENIED", EXPIRED)
        return Reply(400)


class Failure(Exception):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind, self.message = kind, message


class Aws:
    def __init__(self, store, passwords, profile):
        self.store = store
        self.passwords = passwords
        self.profile = profile

    def answer(self, request):
        body = request.body_bytes(1 << 20)
        try:
            place, _, action = request.headers["X-Amz-Target"].partition(".")
            service = SERVICES.get(place)
            method = getattr(self, "do_" + action, None)
            if request.method != "POST" or not service or not method:
                raise Failure("UnknownOperationException", "")
            self._check_signature(request, body, service)
            self._fail(action)
            return reply(200, method(service, json.loads(body)))
        except Failure as e:
            status = 500 if e.kind == "ServerException" else 400
            return reply(status, {"__type": e.kind, "message": e.message})

    def _fail(self, action):
        """The switch aws_errors: {"CreateRepository": [type, message, times]}"""
        rule = self.profile.aws_errors.get(action)
        if rule:
            kind, message, *times = rule
            if times and times[0] <= 0:
                return
            if times:
                self.profile.aws_errors[action] = [kind, message, times[0] - 1]
            raise Failure(kind, message)

    # -- Signature Version 4 -----------------------------------------------------
    def _check_signature(self, request, body, service):
        m = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if not m:
            raise Failure("MissingAuthenticationTokenException",
                          "Missing Authentication Token")
        key, day, region, named, signed, signature = m.groups()
        known = self.profile.aws_keys.get(key)
        session = request.headers.get("X-Amz-Security-Token")
        if not known or (known[1] or None) != session:
            raise Failure("UnrecognizedClientException",
                          "The security token included in the request is invalid.")
        if (region, named) != (self.profile.aws_region, service):
            raise Failure("InvalidSignatureException",
                          "Credential should be scoped to a valid region.")
        self._check_signed(request, signed.split(";"))
        stamp = request.headers.get("X-Amz-Date", "")
        self._check_clock(stamp, day)
        canonical = canonical_request(request, signed.split(";"), body)
        to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp,
                             f"{day}/{region}/{service}/aws4_request",
                             hashlib.sha256(canonical.encode()).hexdigest()))
        wanted = sign(known[0], (day, region, service, "aws4_request"), to_sign)
        if not hmac.compare_digest(wanted, signature):
            raise Failure("InvalidSignatureException",
                          WRONG.format(canonical, to_sign))

    @staticmethod
    def _check_signed(request, signed):
        wanted = {"host", "content-type", "x-amz-date", "x-amz-target"}
        if request.headers.get("X-Amz-Security-Token"):
            wanted.add("x-amz-security-token")
        if not wanted <= set(signed) or signed != sorted(signed):
            raise Failure("IncompleteSignatureException",
                          f"not signed: {sorted(wanted - set(signed))}")

    def _check_clock(self, stamp, day):
        try:
            then = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
        except ValueError:
            raise Failure("IncompleteSignatureException",
                          "Date must be in ISO-8601 'basic format'") from None
        now = time.time() + self.profile.aws_clock
        skew = then.replace(tzinfo=timezone.utc).timestamp() - now
        if not stamp.startswith(day):
            raise Failure("InvalidSignatureException",
                          "Date in Credential scope does not match")
        if skew < -SKEW:
            raise Failure("InvalidSignatureException",
                          f"Signature expired: {stamp} is now earlier than "
                          f"{basic_date(now - SKEW)} ({basic_date(now)} - 5 min.)")
        if skew > SKEW:
            raise Failure("InvalidSignatureException",
                          f"Signature not yet current: {stamp} is still later than "
                          f"{basic_date(now + SKEW)} ({basic_date(now)} + 5 min.)")

    # -- actions ---------------------------------------------------------------------
    def do_GetAuthorizationToken(self, service, _):
        profile = self.profile
        word = self.passwords.issue(profile.aws_life)
        data = {"authorizationToken": base64.b64encode(f"AWS:{word}".encode()).decode(),
                "expiresAt": round(time.time() + profile.aws_life, 3)}
        if service == "ecr-public":
            return {"authorizationData": data}
        data["proxyEndpoint"] = (f"https://{profile.aws_account}.dkr.ecr."
                                 f"{profile.aws_region}.amazonaws.com")
        return {"authorizationData": [data]}

    def do_CreateRepository(self, _, body):
        name = body["repositoryName"]
        if not NAME.fullmatch(name) or not 2 <= len(name) <= 256:
            raise Failure("InvalidParameterException",
                          "Invalid parameter at 'repositoryName' failed to satisfy "
                          "constraint: 'must satisfy regular expression'")
        if name in self.store.repos:
            raise Failure("RepositoryAlreadyExistsException",
                          f"The repository with name '{name}' already exists in the "
                          f"registry with id '{self.profile.aws_account}'")
        self.store.repo(name)
        return {"repository": self._repository(name, body)}

    def _repository(self, name, body):
        account, region = self.profile.aws_account, self.profile.aws_region
        return {"repositoryArn": f"arn:aws:ecr:{region}:{account}:repository/{name}",
                "registryId": account, "repositoryName": name,
                "repositoryUri": f"{account}.dkr.ecr.{region}.amazonaws.com/{name}",
                "createdAt": round(time.time(), 3),
                "imageTagMutability": body.get("imageTagMutability", "MUTABLE"),
                "imageScanningConfiguration": {"scanOnPush": False},
                "encryptionConfiguration": {"encryptionType": "AES256"}}

    def do_BatchDeleteImage(self, _, body):
        name = body["repositoryName"]
        if body.get("registryId") not in (None, self.profile.aws_account) or \
                name not in self.store.repos:
            raise Failure("RepositoryNotFoundException",
                          f"The repository with name '{name}' does not exist")
        done, failures = [], []
        for image in body["imageIds"]:
            ref = image.get("imageTag") or image["imageDigest"]
            found = self.store.resolve(name, ref)
            kept = self.profile.aws_kept
            if found is None:
                failures.append({"imageId": image, "failureCode": "ImageNotFound",
                                 "failureReason": "Requested image not found"})
            elif kept and re.fullmatch(kept, ref):
                failures.append({
                    "imageId": image, "failureCode": "ImageReferencedByManifestList",
                    "failureReason": "Requested image referenced by manifest list"})
            else:
                self.store.delete_manifest(name, ref)
                if found[0] not in self.store.repos[name].tags.values():
                    self.store.delete_manifest(name, found[0])
                done.append(image)
        return {"imageIds": done, "failures": failures}


def canonical_request(request, signed, body):
    """As the server sees it; the client's own idea of it does not count."""
    path, _, query = request.target.partition("?")
    lines = [request.method, path, "&".join(sorted(query.split("&")))]
    for name in signed:
        values = request.headers.get_all(name) or [""]
        lines.append(f"{name}:" + ",".join(" ".join(v.split()) for v in values))
    lines += ["", ";".join(signed), hashlib.sha256(body).hexdigest()]
    return "\n".join(lines)


def sign(secret, steps, to_sign):
    key = b"AWS4" + secret.encode()
    for step in steps:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def basic_date(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def reply(status, value):
    headers = [("x-amzn-RequestId", secrets.token_hex(16))]
    return text(status, json.dumps(value), "application/x-amz-json-1.1", headers)
