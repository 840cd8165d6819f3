"""A server on loopback that serves ranges of one file, like a storage host, with the faults that a test asks for."""

import contextlib
import re
import secrets
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self

from components.ingest.archive.remote import Address

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """The fault of one response.

    Attributes:
        status: Replaces 206, without content; 200 gives the whole file.
        headers: Replace or extend the right ones.
        cut_after: The number of bytes of the body that are sent before `ending`.
        ending: A reset, an orderly end, or silence.
        flip: The offset in the file of a byte that is corrupted.
        piece_bytes: Sends pieces of this size, a hundredth of a second apart.
    """

    status: int = 206
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    ending: Literal["reset", "close", "stall"] = "reset"
    flip: int | None = None
    piece_bytes: int | None = None


@dataclass(frozen=True)
class Request:
    """The requested range, the accepted encoding, and the connection."""

    start: int
    end: int
    encoding: str
    client_port: int


class FaultServer:
    """Serves `content` at an address that is a secret and may expire.

    Attributes:
        requests: The requests with a valid address.
        faults: The faults of the next responses; None for no fault.
        always: The fault of all other responses.
        serves_ranges: If not, every response is the whole file.
        expires: Whether addresses are valid for only one response.
        num_addresses: The number of requested addresses.
        signatures: The secrets in the addresses.
        stalled: Set once a response has stalled.
    """

    def __init__(self, content: bytes, etag: str = '"first"') -> None:
        self.content = content
        self.etag = etag
        self.requests: list[Request] = []
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.serves_ranges = True
        self.expires = False
        self.num_addresses = 0
        self.signatures: list[str] = []
        self.stalled = threading.Event()
        self._valid: set[str] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def find_address(self) -> Address:
        """Returns a valid address, like Kaggle."""
        with self._lock:
            self.num_addresses += 1
            signature = secrets.token_hex(16)
            self.signatures.append(signature)
            self._valid.add(signature)
        url = f"http://127.0.0.1:{self._server.server_port}/archive.zip?signature={signature}"
        return Address(url, self.etag, len(self.content))

    def expire(self) -> None:
        """Invalidates all addresses so far."""
        with self._lock:
            self._valid.clear()

    def accept(self, signature: str, request: Request) -> bool:
        """Whether an address is valid."""
        with self._lock:
            if signature not in self._valid:
                return False
            self.requests.append(request)
            if self.expires:
                self._valid.remove(signature)
            return True

    def next_fault(self) -> Fault:
        """The fault of the next response."""
        with self._lock:
            fault = self.faults.popleft() if self.faults else self.always
        return fault or Fault()

    def stall(self) -> None:
        """Waits until the server closes."""
        self.stalled.set()
        self._closing.wait()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a burst of connections would overflow the usual 5, and wait for a second or more

    def handle_error(self, request: object, client_address: object) -> None:
        # Clients may disconnect at any time; other errors are the server's fault.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(server: FaultServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = _RANGE.fullmatch(self.headers["Range"])
            assert asked
            start, end = int(asked[1]), min(int(asked[2]) + 1, len(server.content))
            request = Request(start, end, self.headers["Accept-Encoding"], self.client_address[1])
            if not server.accept(self.path.rpartition("=")[2], request):
                self._say(403, {}, b"<Error><Code>ExpiredToken</Code></Error>")
                return
            fault = server.next_fault()
            etag = {"ETag": server.etag} if server.etag else {}
            if fault.status not in (200, 206):
                self._say(fault.status, fault.headers, b"no")
            elif start >= end:
                self._say(416, {}, b"no")
            elif fault.status == 200 or not server.serves_ranges:
                self._send_body(fault, 200, etag, 0, len(server.content))
            else:
                content_range = {"Content-Range": f"bytes {start}-{end - 1}/{len(server.content)}"}
                self._send_body(fault, 206, etag | content_range, start, end)

        def _say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in (dict(headers) | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _send_body(self, fault: Fault, status: int, headers: Mapping[str, str], start: int, end: int) -> None:
            body = bytearray(server.content[start:end])
            if fault.flip is not None and start <= fault.flip < end:
                body[fault.flip - start] ^= 0xFF
            self.send_response(status)
            for name, value in ({**headers, "Content-Length": str(len(body))} | dict(fault.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client has read enough
                for piece in _pieces(fault, body):
                    self.wfile.write(piece)
                if fault.cut_after is not None:
                    self._break_off(fault)

        def _break_off(self, fault: Fault) -> None:
            self.close_connection = True
            if fault.ending == "stall":
                server.stall()
            elif fault.ending == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                self.connection.close()

    return Handler


def _pieces(fault: Fault, body: bytearray) -> Iterator[bytes]:
    sent = bytes(body[: fault.cut_after])
    size = fault.piece_bytes or len(sent) or 1
    for position in range(0, len(sent), size):
        if fault.piece_bytes:
            time.sleep(0.01)
        yield sent[position : position + size]
