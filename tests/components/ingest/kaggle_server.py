"""A server on loopback that responds like Kaggle, for the real SDK with `KAGGLE_API_ENVIRONMENT=TEST`.

The SDK then connects to http://localhost:7777. The server listens on a free port and acts as the SDK's HTTP proxy: this works
in every process that inherits the environment, and any number of servers can run at once.
"""

import base64
import contextlib
import json
import os
import re
import secrets
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlencode, urlsplit

COMPETITION = "human-protein-atlas-image-classification"
_API_PATH = "/api/v1/competitions.CompetitionApiService/DownloadDataFiles"
_LONGEST_STALL_S = 30.0
_CHUNK_BYTES = 1 << 16
_EXPIRED = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


def proxy_environment(address: str) -> dict[str, str]:
    """The variables that direct the SDK's requests to the server at an address."""
    return {"KAGGLE_API_ENVIRONMENT": "TEST", "http_proxy": address, "no_proxy": "127.0.0.1"}


@dataclass
class Exchange:
    """A request and its response.

    Attributes:
        host: The host that the client named.
        query: The query of the URL: for an archive's address, the signature.
        status: 0 until there is a response.
        sent_bytes: Bytes of the answer's body that were handed to the network; final when the server is closed, as a client may
            have them before they are counted.
    """

    method: str
    host: str
    path: str
    query: str
    headers: dict[str, str]
    status: int = 0
    sent_bytes: int = 0

    @property
    def is_archive(self) -> bool:
        """Whether it requests the archive, not its address."""
        return self.method != "POST"


@dataclass(frozen=True)
class Answer:
    """A response that replaces the server's own.

    Attributes:
        message: The message of the JSON with which Kaggle's API explains an error.
        body: Sent instead of that JSON.
        then: `answer`; or, without a response, `reset` the connection, or `stall` for longer than any test waits.
    """

    status: int = 200
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    then: str = "answer"


Body = Iterator[bytes]


class KaggleServer:
    """Serves one competition's archive within `with KaggleServer(path) as server:`. Its attributes may be changed meanwhile.

    Attributes:
        archive: The served file, read anew for every request.
        etag: The ETag of the archive; None for one of its size and modification time.
        token: The token that the API accepts, besides `username` with `key`.
        rules_accepted: Whether the account has accepted the competition's rules.
        signature_lifetime_s: The lifetime of an address.
        expired_status: 400 as Google Cloud Storage, or 403 as other hosts.
        accepts_ranges: If not, the response to a range is the whole archive.
        api_answers: The responses to the next requests to the API, one each.
        archive_answers: The same for requests for the archive.
        change_body: Called with each request for the archive and the pieces of its body, gives the pieces to send: fewer are
            a truncated body, ConnectionResetError a reset connection. None sends the file in the fastest way.
        exchanges: All requests, in the order in which they came.
        closing: Set when the server closes; stalled responses wait for it.
        address: The address of the server.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.competition = COMPETITION
        self.etag: str | None = None
        self.token = f"KGAT_{secrets.token_hex(16)}"
        self.username = "datadinosaur"
        self.key = secrets.token_hex(16)
        self.rules_accepted = True
        self.signature_lifetime_s = 3600.0
        self.expired_status = 400
        self.accepts_ranges = True
        self.api_answers: deque[Answer] = deque()
        self.archive_answers: deque[Answer] = deque()
        self.change_body: Callable[[Exchange, Body], Body] | None = None
        self.exchanges: list[Exchange] = []
        self.closing = threading.Event()
        self.address = ""
        self._valid_until_s: dict[str, float] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "KaggleServer":
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(_Listener(self))
            self.address = f"http://127.0.0.1:{listener.server_port}"
            serving = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
            serving.start()
            stack.callback(serving.join)
            stack.callback(listener.shutdown)
            stack.callback(self.closing.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections and frees the port; a second time does nothing."""
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that connect a process to this server, with the token."""
        return {"KAGGLE_API_TOKEN": self.token, **proxy_environment(self.address)}

    @property
    def signatures(self) -> list[str]:
        """The signatures of all addresses so far, which are secrets."""
        return list(self._valid_until_s)

    @property
    def secrets(self) -> list[str]:
        """Everything that only the client and this server may see."""
        basic = base64.b64encode(f"{self.username}:{self.key}".encode()).decode()
        return [self.token, self.key, basic, *self.signatures]

    @property
    def archive_exchanges(self) -> list[Exchange]:
        """The requests for the archive."""
        return [exchange for exchange in self.exchanges if exchange.is_archive]

    @property
    def api_exchanges(self) -> list[Exchange]:
        """The requests for the archive's address."""
        return [exchange for exchange in self.exchanges if not exchange.is_archive]

    @property
    def sent_bytes(self) -> int:
        """The sent bytes of the archive, including repeated ones and those that a client did not read before it hung up."""
        return sum(exchange.sent_bytes for exchange in self.archive_exchanges)

    def expire_addresses(self) -> None:
        """Expires all addresses so far."""
        self._valid_until_s = dict.fromkeys(self._valid_until_s, 0.0)

    def new_address(self) -> str:
        """A signed address of the archive, as from the API."""
        signature = secrets.token_hex(32)
        self._valid_until_s[signature] = time.monotonic() + self.signature_lifetime_s
        query = urlencode({"X-Goog-Expires": round(self.signature_lifetime_s), "X-Goog-Signature": signature})
        return f"{self.address}/archives/{self.competition}.zip?{query}"

    def is_valid(self, query: str) -> bool:
        """Whether the query of an address has a signature that has not expired."""
        (signature,) = parse_qs(query).get("X-Goog-Signature", [""])
        return time.monotonic() < self._valid_until_s.get(signature, 0.0)


class _Listener(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for every handler, so that tests do not affect each other
    request_queue_size = 128

    def __init__(self, server: KaggleServer) -> None:
        self.kaggle = server
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for connection in list(self._connections):  # connections that clients keep alive
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_POST(self) -> None:
        exchange = self._log_exchange()
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kaggle = self.kaggle
        if kaggle.api_answers:
            self._answer(exchange, kaggle.api_answers.popleft())
        elif exchange.path != _API_PATH:
            self._answer(exchange, Answer(404, "Not Found"))
        elif not self._is_signed_in():
            self._answer(exchange, Answer(401, "Unauthorized access to protected resource"))
        elif request != {"competitionName": kaggle.competition}:
            self._answer(exchange, Answer(404, "Competition not found"))
        elif not kaggle.rules_accepted:
            message = "You must accept this competition's rules before you'll be able to download files."
            self._answer(exchange, Answer(403, message))
        else:
            self._answer(exchange, Answer(302, headers={"Location": kaggle.new_address()}, body=b""))

    def do_GET(self) -> None:
        exchange = self._log_exchange()
        kaggle = self.kaggle
        if kaggle.archive_answers:
            self._answer(exchange, kaggle.archive_answers.popleft())
        elif not kaggle.is_valid(exchange.query):
            self._answer(exchange, Answer(kaggle.expired_status, headers={"Content-Type": "application/xml"}, body=_EXPIRED))
        else:
            # Clients hang up when they have read enough.
            with contextlib.suppress(ConnectionError), kaggle.archive.open("rb") as file:
                self._send_archive(exchange, file)

    def do_HEAD(self) -> None:
        self.do_GET()

    @property
    def kaggle(self) -> KaggleServer:
        return self.server.kaggle

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Logs nothing: tests read `exchanges`."""

    def _log_exchange(self) -> Exchange:
        address = urlsplit(self.path)
        host = self.headers.get("Host", "").partition(":")[0]
        exchange = Exchange(self.command, host, address.path, address.query, dict(self.headers))
        self.kaggle.exchanges.append(exchange)
        return exchange

    def _is_signed_in(self) -> bool:
        basic = base64.b64encode(f"{self.kaggle.username}:{self.kaggle.key}".encode()).decode()
        return self.headers.get("Authorization") in (f"Bearer {self.kaggle.token}", f"Basic {basic}")

    def _answer(self, exchange: Exchange, answer: Answer) -> None:
        if answer.then == "stall":
            self.kaggle.closing.wait(_LONGEST_STALL_S)
        if answer.then != "answer":
            self._reset()
            return
        body = json.dumps({"code": answer.status, "message": answer.message}).encode() if answer.body is None else answer.body
        headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))} | answer.headers
        self._send_head(exchange, answer.status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)
            exchange.sent_bytes = len(body)
        self.close_connection = self.close_connection or headers["Content-Length"] != str(len(body))

    def _send_head(self, exchange: Exchange, status: int, headers: dict[str, str]) -> None:
        exchange.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_archive(self, exchange: Exchange, file: BinaryIO) -> None:
        stat = self.kaggle.archive.stat()
        headers = {
            "Content-Type": "application/zip",
            "ETag": self.kaggle.etag or f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"',
        }
        status, wanted = HTTPStatus.OK, range(stat.st_size)
        if self.kaggle.accepts_ranges:
            headers["Accept-Ranges"] = "bytes"
            if "Range" in self.headers:
                status, wanted = HTTPStatus.PARTIAL_CONTENT, _parse_range(self.headers["Range"], stat.st_size)
                headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{stat.st_size}"
        if not wanted and stat.st_size:
            status, headers["Content-Range"] = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{stat.st_size}"
        headers["Content-Length"] = str(len(wanted))
        self._send_head(exchange, status, headers)
        if self.command == "HEAD":
            return
        if self.kaggle.change_body:
            self._send_pieces(exchange, self.kaggle.change_body(exchange, _pieces(file, wanted)), len(wanted))
        elif wanted:
            self._send_file(exchange, file, wanted)

    def _send_file(self, exchange: Exchange, file: BinaryIO, wanted: range) -> None:
        try:
            self.connection.sendfile(file, wanted.start, len(wanted))
        finally:  # the file's position is where sending stopped, even if the client hung up
            exchange.sent_bytes = file.tell() - wanted.start

    def _send_pieces(self, exchange: Exchange, pieces: Body, num_bytes: int) -> None:
        try:
            for piece in pieces:
                self.wfile.write(piece)
                exchange.sent_bytes += len(piece)
        except ConnectionResetError:
            self._reset()
        self.close_connection = self.close_connection or exchange.sent_bytes != num_bytes

    def _reset(self) -> None:
        """Ends the connection like a crashed host: with RST alone."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def _parse_range(header: str, num_bytes: int) -> range:
    """The range of a header such as `bytes=0-99`, `bytes=100-` or `bytes=-22`; empty if it is outside the file."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if not match or match.groups() == ("", ""):
        return range(num_bytes)
    first, last = match.groups()
    if not first:
        return range(max(0, num_bytes - int(last)), num_bytes)
    return range(int(first), min(num_bytes, int(last) + 1) if last else num_bytes)


def _pieces(file: BinaryIO, wanted: range) -> Body:
    file.seek(wanted.start)
    left = len(wanted)
    while piece := file.read(min(left, _CHUNK_BYTES)):
        left -= len(piece)
        yield piece
