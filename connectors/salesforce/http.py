"""The HTTP session that reaches one org: time-outs on every call, TLS always verified, nothing taken from the environment."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter

from connectors.errors import NotAllowed

#: Seconds to connect, and between two bytes of an answer. A query may take the org 120 s (sheet, 2.4) before the first byte.
TIMEOUT_S = (10.0, 150.0)


def is_loopback(url: str) -> bool:
    """Whether a URL points at this host (a local sandbox), by name or literal address."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _TimeoutAdapter(HTTPAdapter):
    """Sets our time-out where the caller (simple-salesforce sets none anywhere) gave none."""

    def __init__(self, timeout_s: tuple[float, float], pool: int) -> None:
        self._timeout_s = timeout_s
        super().__init__(pool_maxsize=pool, max_retries=0)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        return super().send(request, stream, timeout or self._timeout_s, verify, cert, proxies)


class _LoopbackAdapter(_TimeoutAdapter):
    """simple-salesforce writes `https://` before every host (sheet, 1.5); a sandbox on this host speaks plain HTTP."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.url = urlunsplit(("http", *parts[1:]))
        return super().send(request, *args, **kwargs)


def open_session(url: str, timeout_s: tuple[float, float] = TIMEOUT_S) -> requests.Session:
    """A session for an org's URL. Plain http is refused unless it points at this host."""
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https") or (scheme == "http" and not is_loopback(url)):
        raise NotAllowed("SCORESYNC_SALESFORCE_URL is not an https URL.", remedy="An admin must set it to https://<name>.my.salesforce.com.")
    session = requests.Session()
    session.trust_env = False  # proxies, .netrc (it would replace our token) and CA bundles of the environment are not ours
    session.mount("https://", _TimeoutAdapter(timeout_s, pool=8))
    if scheme == "http":
        mount_loopback(session, url, timeout_s)
    return session


def mount_loopback(session: requests.Session, url: str, timeout_s: tuple[float, float] = TIMEOUT_S) -> None:
    """Speak plain HTTP to a server on this host (checked again here: it may be the address a login answered)."""
    netloc = urlsplit(url).netloc
    if is_loopback(url) and f"https://{netloc}" not in session.adapters:
        session.mount(f"https://{netloc}", _LoopbackAdapter(timeout_s, pool=8))
        session.mount(f"http://{netloc}", _LoopbackAdapter(timeout_s, pool=8))
