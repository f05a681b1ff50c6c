"""Signing requests the way HubSpot does: v1, v2 and v3 (reference: section 7.3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from urllib.parse import urlsplit, urlunsplit

_ESCAPES = {"3A": ":", "2F": "/", "3F": "?", "40": "@", "21": "!", "24": "$", "27": "'", "28": "(", "29": ")", "2A": "*", "2C": ",", "3B": ";"}
_ESCAPE = re.compile("%(" + "|".join(_ESCAPES) + ")", re.IGNORECASE)


def plain_uri(url: str) -> str:
    """The URI as v3 signs it: without fragment, some percent escapes decoded."""
    parts = urlsplit(url)
    return _ESCAPE.sub(lambda match: _ESCAPES[match[1].upper()], urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, "")))


def v1(secret: str, body: bytes) -> str:
    """Hex SHA-256 of secret and body: legacy webhooks."""
    return hashlib.sha256(secret.encode() + body).hexdigest()


def v2(secret: str, method: str, url: str, body: bytes) -> str:
    """Hex SHA-256 of secret, method, URI and body: workflow webhooks."""
    return hashlib.sha256(f"{secret}{method}{url}".encode() + body).hexdigest()


def v3(secret: str, method: str, url: str, body: bytes, timestamp_ms: int) -> str:
    """Base64 HMAC-SHA-256 of method, URI, body and timestamp."""
    source = f"{method}{plain_uri(url)}".encode() + body + str(timestamp_ms).encode()
    return base64.b64encode(hmac.new(secret.encode(), source, hashlib.sha256).digest()).decode()


def headers(version: str, secret: str, method: str, url: str, body: bytes, timestamp_ms: int) -> dict[str, str]:
    """The signature headers of one version; several are named with commas (`v1,v3`)."""
    found: dict[str, str] = {}
    for name in version.split(","):
        if name == "v1":
            found |= {"X-HubSpot-Signature": v1(secret, body), "X-HubSpot-Signature-Version": "v1"}
        elif name == "v2":
            found |= {"X-HubSpot-Signature": v2(secret, method, url, body), "X-HubSpot-Signature-Version": "v2"}
        elif name == "v3":
            stamp = str(timestamp_ms)
            found |= {"X-HubSpot-Signature-v3": v3(secret, method, url, body, timestamp_ms), "X-HubSpot-Request-Timestamp": stamp}
        else:
            raise ValueError(f"signature version {name!r} is unknown; known: v1, v2, v3")
    return found
