"""Serving a sandbox over HTTP: one ASGI application, one or several forked processes, answers that break off when a fault rule says so."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import anyio
import uvicorn
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

THREADS = 12
GZIP_FROM = 1_000
PARENT_SECONDS = 0.5
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
_TRANSPORTS: dict[tuple[str, int], asyncio.Transport] = {}


@dataclass(slots=True)
class Call:
    """One HTTP request. `path` is raw (still quoted); `base_url` is scheme and host as the client named them."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base_url: str


@dataclass(slots=True)
class Answer:
    """What goes back. `stream` wins over `content`; `reset` drops the connection, `truncate` stops half way through the body.

    `media_type` None sends no Content-Type.
    """

    status: int
    content: bytes = b""
    media_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterable[bytes] | None = None
    reset: bool = False
    truncate: bool = False


Handler = Callable[[Call], Answer]


class Protocol(H11Protocol):
    """HTTP/1.1 whose connections can be dropped by a fault rule."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remembers the connection by its client's address."""
        super().connection_made(transport)
        if self.client is not None:
            _TRANSPORTS[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        if self.client is not None:
            _TRANSPORTS.pop(self.client, None)
        super().connection_lost(exc)


class _Broken(Response):
    """An answer whose delivery fails: nothing at all, or only its first half."""

    def __init__(self, answer: Answer, content: bytes) -> None:
        super().__init__(content, answer.status)
        self._half = content[: len(content) // 2] if answer.truncate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _TRANSPORTS.get(tuple(scope["client"])) if scope.get("client") else None
        if self._half is not None:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._half, "more_body": True})
            if transport is not None:
                transport.close()  # after what was sent
        elif transport is not None:
            transport.abort()
        if transport is None:
            await super().__call__(scope, receive, send)


def create_app(handler: Handler, title: str) -> FastAPI:
    """The ASGI application: every path and method goes to `handler`, in a worker thread."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Each thread keeps its own SQLite connections.
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        raw = request.scope.get("raw_path") or request.url.path.encode()
        base = f"{request.url.scheme}://{request.headers.get('host', '127.0.0.1')}"
        query = request.scope["query_string"].decode("latin-1")
        call = Call(request.method, raw.decode("latin-1"), query, request.headers, body, base)
        return await _respond(await run_in_threadpool(handler, call), request)

    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_route("/{path:path}", endpoint, methods=METHODS)
    return app


async def _respond(answer: Answer, request: Request) -> Response:
    headers = dict(answer.headers)
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    broken = answer.reset or answer.truncate
    if answer.stream is not None and not broken:
        chunks = answer.stream
        if zipped:
            headers["Content-Encoding"] = "gzip"
            chunks = _gzipped(chunks)
        return StreamingResponse(chunks, answer.status, headers, media_type=answer.media_type)
    content = answer.content if answer.stream is None else b"".join(answer.stream)
    if broken:
        return _Broken(answer, content)
    if zipped and len(content) >= GZIP_FROM:
        content = await run_in_threadpool(gzip.compress, content, 1)
        headers["Content-Encoding"] = "gzip"
    if request.method == "HEAD":
        content = b""
    return Response(content, answer.status, headers, media_type=answer.media_type)


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def serve(
    make_app: Callable[[], FastAPI], name: str, *, host: str = "127.0.0.1", port: int = 0, workers: int = 1, ready_file: Path | None = None,
    stop_with: int | None = None,
) -> None:  # fmt: skip
    """Serves until SIGTERM or SIGINT. Port 0 takes a free one; `ready_file` then receives `{"url", "pids"}`.

    `make_app` runs in each process. `stop_with` is the id of the process that started us: when it dies without a word, we end too.
    """
    # With the protocol named, asyncio switches Nagle off; else each answer waits 40 ms for the client to acknowledge its headers.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(512)
    listener.set_inheritable(True)
    url = f"http://{host}:{listener.getsockname()[1]}"
    children = [_fork(make_app, listener) for _ in range(workers)] if workers > 1 else []
    if ready_file is not None:
        temporary = ready_file.with_suffix(".new")
        temporary.write_text(json.dumps({"url": url, "pids": children or [os.getpid()]}))
        temporary.rename(ready_file)
    print(f"{name}: {url}", flush=True)
    if stop_with is not None:
        _end_with(stop_with)
    if not children:
        _run(make_app, listener)
        return
    _watch(children)


def _fork(make_app: Callable[[], FastAPI], listener: socket.socket) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _end_with(parent)
            _run(make_app, listener)
            status = 0
        finally:
            os._exit(status)
    return pid


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _run(make_app: Callable[[], FastAPI], listener: socket.socket) -> None:
    config = uvicorn.Config(
        make_app(), http=Protocol, loop="asyncio", log_level="critical", access_log=False, date_header=False, server_header=False,
        timeout_keep_alive=75, timeout_graceful_shutdown=2, ws="none", h11_max_incomplete_event_size=65_536,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def _watch(children: list[int]) -> None:
    """Passes a stop on to the workers and ends when they have ended."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for pid in children:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    left = set(children)
    while left:
        pid, _ = os.wait()
        left.discard(pid)
