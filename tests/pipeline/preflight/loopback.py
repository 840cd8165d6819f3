"""A server on loopback that gives a test's answers in place of Kubeflow Pipelines, Kubernetes or a registry."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A status, a body (JSON unless it is text) and headers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request of a client."""

    path: str
    query: str
    authorization: str
    accept: str
    body: bytes


class Loopback(ThreadingHTTPServer):
    """Answers a request for a path with `answers[path]`, whatever the method, or with 404.

    If that is a function, it is called with the request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {}
        self.requests: list[Request] = []

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"


class _Handler(BaseHTTPRequestHandler):
    server: Loopback

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        request = Request(url.path, url.query, self.headers.get("Authorization", ""), self.headers.get("Accept", ""), body)
        self.server.requests.append(request)
        answer = self.server.answers.get(url.path, Answer(404, {"message": "there is no such thing"}))
        if callable(answer):
            answer = answer(request)
        is_text = isinstance(answer.body, str)
        content = answer.body.encode() if is_text else json.dumps(answer.body or {}).encode()
        self.send_response_only(answer.status)
        headers = {"Content-Type": "text/html" if is_text else "application/json", "Content-Length": str(len(content))}
        for name, value in (headers | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_any  # noqa: N815 (the names that http.server asks for)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server gives it)
        """Logs nothing: tests read `requests`."""


@contextmanager
def serving() -> Iterator[Loopback]:
    """Serves within the context."""
    with Loopback() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
