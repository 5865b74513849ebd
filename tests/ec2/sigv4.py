# SPDX-License-Identifier: Apache-2.0
"""AWS Signature Version 4, checked over the raw bytes of a request, as AWS does it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
Paths must be plain (nothing here calls a path with %XX), query strings come encoded and are sorted here.
"""

import calendar
import dataclasses
import hashlib
import hmac
import re
import time

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$"
)
SKEW_S = 300


@dataclasses.dataclass
class Credential:
    secret: str
    token: str = ""  # of a session; "" for a user's key
    expires: float = 0  # Unix time; 0: never


def digest(key, text):
    return hmac.new(key, text.encode(), "sha256").digest()


def signature(credential, method, path, headers, body, day, region, service, signed):
    """What the signature has to be. headers: lower-case names."""
    path, _, query = path.partition("?")
    canonical = "\n".join(
        [method, path, "&".join(sorted(query.split("&"))) if query else ""]
        + [f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed]
        + ["", ";".join(signed), hashlib.sha256(body).hexdigest()]
    )
    key = ("AWS4" + credential.secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = digest(key, part)
    scope = f"{day}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    return digest(key, f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashed}").hex()


def scope_of(headers):
    """(access key, region, service) as the request claims them, empty strings where it does not."""
    found = AUTHORIZATION.match(headers.get("authorization", ""))
    return (found[1], found[3], found[4]) if found else ("", "", "")


def verify(credentials, method, path, headers, body, now=None):
    """None when the signature is right, else what is wrong, in the words that AWS has for it."""
    now = time.time() if now is None else now
    found = AUTHORIZATION.match(headers.get("authorization", ""))
    if not found:
        return "IncompleteSignature" if "authorization" in headers else "MissingAuthenticationToken"
    access_key, day, region, service, signed, given = found.groups()
    signed = signed.split(";")
    credential = credentials.get(access_key)
    if credential is None:
        return "InvalidClientTokenId"
    unsigned = [name for name in headers if name.startswith("x-amz-") and name not in signed]
    if "host" not in signed or signed != sorted(signed) or unsigned:
        return "SignatureDoesNotMatch"
    date = headers.get("x-amz-date", "")
    try:
        stamp = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return "IncompleteSignature"
    if date[:8] != day or abs(stamp - now) > SKEW_S:
        return "RequestExpired"
    if headers.get("x-amz-security-token", "") != credential.token:
        return "InvalidClientTokenId"
    right = signature(credential, method, path, headers, body, day, region, service, signed)
    if not hmac.compare_digest(right, given):
        return "SignatureDoesNotMatch"
    if credential.expires and now >= credential.expires:
        return "ExpiredToken"
    return None
