"""Object stores on loopback that speak Cloud Storage's HTTP API or S3's, and a proxy that disturbs requests."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

BUCKET = "cells"
S3_ACCESS_KEY, S3_SECRET_KEY = "tester", "a-secret-of-these-tests"
_BIN = Path(sys.executable).parent
_STALL_S = 30.0
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
# Google's client also requests the bucket's metadata, from a background thread at unpredictable times.
_NOT_TESTED = re.compile(r"/storage/v1/b/[^/]+(\?|$)")


def find_server(name: str) -> str | None:
    """The path of a program: beside Python, where `make servers` installs it, or on PATH."""
    return shutil.which(name, path=os.pathsep.join([str(_BIN), os.environ.get("PATH", "")]))


@contextlib.contextmanager
def fake_gcs_server() -> Iterator[str]:
    """Runs fake-gcs-server, which honours preconditions, ranges and checksums, and yields its address."""
    program = find_server("fake-gcs-server")
    assert program
    port = _free_port()
    command = [program, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    with _serving([*command, "-public-host", f"127.0.0.1:{port}"], port) as address:
        _make_gcs_bucket(port)
        yield address


@contextlib.contextmanager
def versitygw() -> Iterator[str]:
    """Runs versitygw, an S3 server that honours conditions even in races, and yields its address."""
    program = find_server("versitygw")
    assert program
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data/" + BUCKET, "metadata"):
            Path(folder, name).mkdir(parents=True)
        command = [program, "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", "--access", S3_ACCESS_KEY]
        command += ["--secret", S3_SECRET_KEY, "posix", "--sidecar", f"{folder}/metadata", f"{folder}/data"]
        with _serving(command, port) as address:
            yield address


def s3_environment(address: str) -> dict[str, str]:
    """The environment variables with which Amazon's tools use an S3 server of these tests."""
    return {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": S3_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def gcs_emulator() -> Iterator[str]:
    """Runs gcp-storage-emulator, which is pure Python and ignores preconditions and ranges, and yields its address."""
    port = _free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    with _serving(command, port) as address:
        _make_gcs_bucket(port)
        yield address


@contextlib.contextmanager
def _serving(command: list[str], port: int) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await_port(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _make_gcs_bucket(port: int) -> None:
    _request(port, "POST", f"/storage/v1/b?project=test&name={BUCKET}", b'{"name": "%s"}' % BUCKET.encode())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} ended with {process.returncode}")


def _request(port: int, method: str, path: str, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    connection.close()


# Called with a request before the proxy forwards it. Returns whether it has answered the request.
Fault = Callable[["_Proxy"], bool]


class Faults(ThreadingHTTPServer):
    """A proxy to an object store that applies the next fault of `planned`, if any, to each object request."""

    daemon_threads = True
    request_queue_size = 128  # a burst of connections would overflow the usual 5, and wait for a second or more

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Proxy)
        self.upstream = urlsplit(upstream).netloc
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.planned: list[Fault] = []
        self.requests: list[str] = []
        self.delay_s = 0.0
        self.ended = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next_fault(self) -> Fault | None:
        with self._lock:
            return self.planned.pop(0) if self.planned else None

    def each_request(
        self, fault: Fault, methods: Sequence[str] = _METHODS
    ) -> Iterator[tuple[int, contextlib.AbstractContextManager[None]]]:
        """Yields each number n from 0, with a context in which the n-th request is disturbed, until there are fewer requests.

        Only requests of these methods are counted.
        """
        for number in range(1000):
            unused: list[Fault] = []
            yield number, self._disturbed([only(methods, step) for step in (*[lambda _: False] * number, fault)], unused)
            if unused:
                assert number > 0
                return
        raise AssertionError("it never ends")

    @contextlib.contextmanager
    def _disturbed(self, planned: list[Fault], unused: list[Fault]) -> Iterator[None]:
        self.planned = planned
        yield
        unused += self.planned
        self.planned = []

    def shutdown(self) -> None:
        """Also ends `silent` requests."""
        self.ended.set()
        super().shutdown()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that hang up, as these tests make them do."""


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faults

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body = body
        self.server.requests.append(f"{self.command} {self.path}")
        fault = None if _NOT_TESTED.match(self.path) else self.server.next_fault()
        if fault and fault(self):
            return
        time.sleep(self.server.delay_s)
        status, headers, answer = self.upstream_answer()
        self.send(status, headers, answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_any  # noqa: N815 (the names that http.server asks for)

    def upstream_answer(self) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "content-length")}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read everything
            connection.request(self.command, self.path, self.body, headers | {"Content-Length": str(len(self.body))})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        hidden = _HOP_BY_HOP if self.command == "HEAD" else (*_HOP_BY_HOP, "content-length")
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in hidden]
        # Resumable uploads continue at an address from a response: make it go through this proxy too.
        own = self.server.address.removeprefix("http://")
        return response.status, [(name, value.replace(self.server.upstream, own)) for name, value in kept], content

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes, num_bytes: int | None = None) -> None:
        """Sends a response, with only the first `num_bytes` of the body if given."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in (name.lower() for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:num_bytes])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server gives it)
        """Logs nothing."""


_HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive")


def reset(proxy: _Proxy) -> bool:
    """Hangs up without an answer."""
    proxy.close_connection = True
    proxy.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    proxy.connection.close()
    return True


def reset_after_it_is_done(proxy: _Proxy) -> bool:
    """Forwards the request, and hangs up instead of returning the response."""
    proxy.upstream_answer()
    return reset(proxy)


def only(methods: Sequence[str], fault: Fault) -> Fault:
    """Delays a fault until a request of one of these methods."""

    def wait(proxy: _Proxy) -> bool:
        if proxy.command in methods:
            return fault(proxy)
        proxy.server.planned.insert(0, wait)
        return False

    return wait


def truncate(proxy: _Proxy) -> bool:
    """Returns half of the response's body."""
    status, headers, body = proxy.upstream_answer()
    proxy.send(status, headers, body, len(body) // 2)
    proxy.close_connection = True
    proxy.wfile.flush()
    proxy.connection.shutdown(socket.SHUT_RDWR)
    return True


def answer(status: int, **headers: str) -> Fault:
    """Answers with this status."""

    def fault(proxy: _Proxy) -> bool:
        body = b"" if proxy.command == "HEAD" else b"not now"
        proxy.send(status, [(name.replace("_", "-"), value) for name, value in headers.items()], body)
        return True

    return fault


def s3_error(status: int, code: str) -> Fault:
    """Answers like an S3 server that refuses a request."""

    def fault(proxy: _Proxy) -> bool:
        body = b"" if proxy.command == "HEAD" else f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()
        proxy.send(status, [("Content-Type", "application/xml")], body)
        return True

    return fault


def ignore_conditions(name: str, methods: Sequence[str]) -> Fault:
    """Removes a header from requests of these methods and signs them again, to simulate an S3 store that ignores it."""

    def fault(proxy: _Proxy) -> bool:
        if proxy.command in methods and name in proxy.headers:
            del proxy.headers[name]
            kept = {
                key: value for key, value in proxy.headers.items() if key.lower() in ("host", "content-md5", "content-type")
            }
            meta = {key: value for key, value in proxy.headers.items() if key.lower().startswith("x-amz-meta-")}
            request = AWSRequest(proxy.command, f"{proxy.server.address}{proxy.path}", kept | meta, proxy.body)
            S3SigV4Auth(Credentials(S3_ACCESS_KEY, S3_SECRET_KEY), "s3", "us-east-1").add_auth(request)
            for key, value in request.headers.items():
                del proxy.headers[key]
                proxy.headers[key] = value
        return False

    return fault


def stall(proxy: _Proxy) -> bool:
    """Sends nothing for longer than any client waits."""
    time.sleep(_STALL_S)
    return reset(proxy)


def silent(proxy: _Proxy) -> bool:
    """Sends nothing until the proxy shuts down."""
    proxy.server.ended.wait()
    return reset(proxy)


def corrupt_request(proxy: _Proxy) -> bool:
    """Changes the last byte of an upload, before the end of its last part."""
    marker = proxy.body.rfind(b"\r\n--")
    position = (marker if marker > 0 else len(proxy.body)) - 1
    proxy.body = proxy.body[:position] + bytes([proxy.body[position] ^ 1]) + proxy.body[position + 1 :]
    return False


def change_answer(change: Callable[[bytes], bytes]) -> Fault:
    """Changes the body of the first response that has one."""

    def fault(proxy: _Proxy) -> bool:
        status, headers, body = proxy.upstream_answer()
        if not body:
            proxy.server.planned.insert(0, fault)
        proxy.send(status, headers, change(body) if body else body)
        return True

    return fault


def corrupt_at(share: float) -> Callable[[bytes], bytes]:
    """Changes the byte at a relative position: 0 is the first, 1 the last."""

    def change(body: bytes) -> bytes:
        position = int(share * (len(body) - 1))
        return body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]

    return change


corrupt_answer = change_answer(corrupt_at(1))
# Half of the body is missing, and Content-Length fits what is left.
shorten_answer = change_answer(lambda body: body[: len(body) // 2])
