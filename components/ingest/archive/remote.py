"""Reads byte ranges of a large file over HTTP."""

import contextlib
import functools
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import requests
import urllib3
from requests.adapters import HTTPAdapter

from components.ingest.archive.byte_source import LONGEST_SKIP_BYTES, Read
from components.ingest.archive.retry import TRANSIENT_ERRORS, TransientError, reason, retry_after_s

CONNECT_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 60.0
"""The longest silence of an open connection."""

_MAX_IDLE_CONNECTIONS = 64  # one per thread
_EXPIRED = {400, 401, 403, 404, 410}  # the responses of hosts to an expired signed URL
_MAX_RENEWALS = 2
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """A temporary download address of a file.

    Attributes:
        url: A signed URL. It is a secret and never shown.
        etag: The server's identifier of the content; empty if it gives none.
        num_bytes: The size of the file.
    """

    url: str = field(repr=False)
    etag: str
    num_bytes: int


def hide_addresses() -> None:
    """Keeps signed URLs out of the log: at lower levels, urllib3 logs the URLs of requests."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)


class RangesRefusedError(OSError):
    """The server responds to a range request with the whole file."""


class RemoteFile:
    """A file at an address that expires. Threads may share one.

    Every response is compared with the ETag and the size of the first address, so that two versions are never mixed.

    Attributes:
        num_bytes: The size of the file.
        etag: The server's identifier of the content; empty if it gives none.
    """

    name = "The archive"

    def __init__(self, find_address: Callable[[], Address]) -> None:
        """Requests the first address.

        Args:
            find_address: Returns an address. Called again, by one thread at a time, when an address has expired.
        """
        hide_addresses()
        self._find_address = find_address
        self._address = find_address()
        self.num_bytes, self.etag = self._address.num_bytes, self._address.etag
        if self.num_bytes < 1:
            raise ValueError("The archive is empty: expected a ZIP archive. Received: 0 bytes")
        self._renewing = threading.Lock()
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_MAX_IDLE_CONNECTIONS))

    @contextlib.contextmanager
    def stream(self, start: int, end: int) -> Iterator[Read]:
        """Opens the bytes from `start` up to `end` with one request.

        Raises:
            RangesRefusedError: If the server does not serve ranges.
            ValueError: If the file has changed.
            TransientError: If a retry may help. Reading from the stream may raise it too.
            OSError: For any other response.
        """
        with contextlib.closing(self._open(start, end)) as response:
            if response.status_code == 200:
                raise RangesRefusedError("The server sent the whole archive instead of the requested part: run again")
            yield functools.partial(_read, response.raw)
            remaining = response.raw.length_remaining
            if remaining is not None and remaining <= LONGEST_SKIP_BYTES:
                response.raw.drain_conn()  # so that the connection can be reused

    @contextlib.contextmanager
    def stream_on(self, start: int) -> Iterator[tuple[int, Read]]:
        """Opens the bytes from `start` to the end of the file, or the whole file if the server does not serve ranges.

        Yields:
            The offset of the first byte, and the stream.

        Raises:
            OSError: As `stream` does, except for RangesRefusedError.
            ValueError: If the file has changed.
        """
        with contextlib.closing(self._open(start, self.num_bytes)) as response:
            yield (start if response.status_code == 206 else 0), functools.partial(_read, response.raw)

    def _open(self, start: int, end: int) -> requests.Response:
        address = self._address
        response = self._get(address, start, end)
        for _ in range(_MAX_RENEWALS):
            if response.status_code not in _EXPIRED:
                break
            response.close()
            address = self._renew(address)
            response = self._get(address, start, end)
        try:
            self._check(response, start, end)
        except BaseException:
            response.close()
            raise
        return response

    def _get(self, address: Address, start: int, end: int) -> requests.Response:
        # Offsets in a compressed response would differ.
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        try:
            return self._session.get(address.url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # ValueError: malformed URL
            kind: type[OSError] = TransientError if isinstance(error, TRANSIENT_ERRORS) else OSError
            failure = kind(f"The archive's server cannot be reached: {reason(error)}")
        raise failure  # not above, where the error that contains the URL would become its context

    def _renew(self, refused: Address) -> Address:
        with self._renewing:
            if self._address is refused:  # otherwise another thread has renewed it
                _log.info("the archive's address has expired: requesting a new one")
                try:
                    address = self._find_address()
                except TransientError as error:
                    raise OSError(str(error)) from None  # it has been retried already
                self._check_same(address.etag, address.num_bytes)
                self._address = address
            return self._address

    def _check(self, response: requests.Response, start: int, end: int) -> None:
        status = response.status_code
        if status == 206:
            self._check_range(response, start, end)
        elif status == 200:
            size = response.headers.get("Content-Length", "")
            self._check_same(response.headers.get("ETag", ""), int(size) if size.isdecimal() else None)
        elif status == 416:  # the file is shorter than it was
            self._check_same("", 0)
        elif status in (408, 429) or status >= 500:
            wait_s = retry_after_s(response)
            pause = f" and asks to wait {wait_s:.0f} s" if wait_s else ""
            raise TransientError(f"The archive's server responds with status {status}{pause}", wait_s)
        else:
            raise OSError(
                f"The archive's server did not send the requested part: expected status 206. Received: status {status}"
            )

    def _check_range(self, response: requests.Response, start: int, end: int) -> None:
        content_range = response.headers.get("Content-Range", "")
        found = _CONTENT_RANGE.fullmatch(content_range)
        self._check_same(response.headers.get("ETag", ""), int(found[3]) if found and found[3] != "*" else None)
        if not found or (int(found[1]), int(found[2])) != (start, end - 1):
            raise TransientError(
                f"The archive's server sent a different part from the one requested: expected bytes {start}-{end - 1}. "
                f"Received: {content_range or 'no Content-Range'}"
            )

    def _check_same(self, etag: str, num_bytes: int | None) -> None:
        """Compares the ETag and size of a response with the first address; empty and None mean unknown."""
        if (etag and self.etag and etag != self.etag) or num_bytes not in (None, self.num_bytes):
            raise ValueError(
                "The archive changed while it was being read: run again. "
                f"Expected ETag {self.etag or 'unknown'} and {self.num_bytes} bytes. "
                f"Received: ETag {etag or 'unknown'} and {'unknown' if num_bytes is None else num_bytes} bytes"
            )


def _read(raw: urllib3.BaseHTTPResponse, num_bytes: int) -> bytes:
    """Reads from the body of a response. The stream of `requests` would copy it."""
    try:
        data = raw.read(num_bytes, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        failure = reason(error)
    else:
        if len(data) == num_bytes:
            return data
        failure = f"expected {num_bytes} more bytes. Received: {len(data)}"
    raise TransientError(f"The download of the archive was interrupted: {failure}")
