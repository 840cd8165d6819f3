import logging
import re
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from components.ingest.archive import retry
from components.ingest.archive.byte_source import LONGEST_SKIP_BYTES, read_range
from components.ingest.archive.remote import Address, RangesRefusedError, RemoteFile
from components.ingest.archive.retry import TransientError
from tests.components.ingest.fault_server import Fault, FaultServer

pytestmark = pytest.mark.usefixtures("quick_retries")

Serve = Callable[[bytes], FaultServer]

_CONTENT = bytes(range(256)) * 2048


@pytest.fixture
def server(serve: Serve) -> FaultServer:
    return serve(_CONTENT)


def _read(file: RemoteFile, start: int = 100, end: int = 200_000) -> bytes:
    """Reads once, without retries."""
    with file.stream(start, end) as read:
        return read(end - start)


def test_reads_any_range(server: FaultServer) -> None:
    file = RemoteFile(server.find_address)
    assert (file.num_bytes, file.etag) == (len(_CONTENT), '"first"')
    for start, end in [(0, 1), (0, len(_CONTENT)), (5, 77), (len(_CONTENT) - 1, len(_CONTENT))]:
        assert _read(file, start, end) == _CONTENT[start:end]


def test_one_response_serves_several_reads(server: FaultServer) -> None:
    with RemoteFile(server.find_address).stream(10, 1000) as read:
        assert read(90) + read(0) + read(900) == _CONTENT[10:1000]
    assert [(request.start, request.end, request.encoding) for request in server.requests] == [(10, 1000, "identity")]


def test_threads_share_a_file(server: FaultServer) -> None:
    file = RemoteFile(server.find_address)
    starts = range(0, len(_CONTENT) - 5000, 4999)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda start: _read(file, start, start + 5000), starts))
    assert found == [_CONTENT[start : start + 5000] for start in starts]


def test_connection_is_reused_if_little_is_left_unread(server: FaultServer) -> None:
    file = RemoteFile(server.find_address)
    for unread_bytes in (0, 1, LONGEST_SKIP_BYTES, 0):
        with file.stream(0, 10 + unread_bytes) as read:
            read(10)
    assert len({request.client_port for request in server.requests}) == 1


def test_connection_is_dropped_if_much_is_left_unread(server: FaultServer) -> None:
    file = RemoteFile(server.find_address)
    with file.stream(0, len(_CONTENT)) as read:
        read(10)
    assert _read(file) == _CONTENT[100:200_000]
    assert len({request.client_port for request in server.requests}) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(cut_after=1000), "Connection reset by peer"),
        (Fault(cut_after=1000, ending="close"), r"expected 199900 more bytes\. Received: \d+"),
        (Fault(cut_after=1000, ending="stall"), "ReadTimeoutError"),
        (Fault(cut_after=0, ending="close"), "was interrupted"),
        (Fault(status=503), "status 503"),
        (Fault(status=500), "status 500"),
        (Fault(status=408), "status 408"),
        (Fault(headers={"Content-Range": f"bytes 0-9/{len(_CONTENT)}"}), r"expected bytes 100-199999\. Received: bytes 0-9/"),
        (Fault(headers={"Content-Range": "nonsense"}), r"expected bytes 100-199999\. Received: nonsense"),
        (Fault(headers={"Content-Length": "1000"}), r"expected 199900 more bytes\. Received: 1000"),
    ],
)
def test_read_after_a_transient_failure_succeeds(server: FaultServer, fault: Fault, message: str) -> None:
    file = RemoteFile(server.find_address)
    server.faults.append(fault)
    with pytest.raises(TransientError, match=message):
        _read(file)
    assert _read(file) == _CONTENT[100:200_000]


def test_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address(f"http://127.0.0.1:{silent.getsockname()[1]}/", "", 1000)
        with pytest.raises(TransientError, match="The archive's server cannot be reached: ReadTimeout"):
            _read(RemoteFile(lambda: address), 0, 10)


def test_slow_response_is_read_completely(server: FaultServer) -> None:
    file = RemoteFile(server.find_address)
    server.faults.append(Fault(piece_bytes=1000))
    assert _read(file, 0, 20_000) == _CONTENT[:20_000]


@pytest.mark.parametrize("status", [429, 503])
def test_error_of_an_overloaded_server_gives_its_retry_after(server: FaultServer, status: int) -> None:
    server.faults.append(Fault(status=status, headers={"Retry-After": "7"}))
    with pytest.raises(TransientError, match=f"status {status} and asks to wait 7 s") as caught:
        _read(RemoteFile(server.find_address))
    assert caught.value.retry_after_s == 7


def test_refused_ranges_are_an_error(server: FaultServer) -> None:
    server.serves_ranges = False
    with pytest.raises(RangesRefusedError, match="the whole archive instead of the requested part"):
        _read(RemoteFile(server.find_address))


@pytest.mark.parametrize("serves_ranges", [True, False])
def test_stream_on_reads_to_the_end(server: FaultServer, serves_ranges: bool) -> None:
    server.serves_ranges = serves_ranges
    with RemoteFile(server.find_address).stream_on(1000) as (start, read):
        assert start == (1000 if serves_ranges else 0)
        assert read(len(_CONTENT) - start) == _CONTENT[start:]


def test_unexpected_status_is_not_transient(server: FaultServer) -> None:
    server.faults.append(Fault(status=405))
    with pytest.raises(OSError, match=r"expected status 206\. Received: status 405") as caught:
        _read(RemoteFile(server.find_address))
    assert not isinstance(caught.value, TransientError)


def test_empty_file_is_refused(serve: Serve) -> None:
    with pytest.raises(ValueError, match="The archive is empty"):
        RemoteFile(serve(b"").find_address)


class TestExpiredAddress:
    def test_an_expired_address_is_renewed(self, server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
        file = RemoteFile(server.find_address)
        server.expire()
        with caplog.at_level(logging.INFO, "components"):
            assert _read(file) == _CONTENT[100:200_000]
        assert server.num_addresses == 2
        assert "the archive's address has expired: requesting a new one" in caplog.text

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
    def test_an_expired_address_is_recognised_by_its_status(self, server: FaultServer, status: int) -> None:
        server.faults.append(Fault(status=status))
        assert _read(RemoteFile(server.find_address)) == _CONTENT[100:200_000]
        assert server.num_addresses == 2

    def test_threads_share_one_renewal(self, server: FaultServer) -> None:
        def find_address() -> Address:
            time.sleep(0.1)  # time for the other threads to arrive
            return server.find_address()

        file = RemoteFile(find_address)
        for _ in range(3):
            server.expire()
            before = server.num_addresses
            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(lambda _: _read(file), range(8))) == [_CONTENT[100:200_000]] * 8
            assert server.num_addresses == before + 1

    def test_an_address_may_expire_after_every_response(self, server: FaultServer) -> None:
        server.expires = True
        file = RemoteFile(server.find_address)
        assert [_read(file) for _ in range(5)] == [_CONTENT[100:200_000]] * 5

    def test_number_of_renewals_is_limited(self, server: FaultServer) -> None:
        file = RemoteFile(server.find_address)
        server.always = Fault(status=403)
        with pytest.raises(OSError, match=r"Received: status 403") as caught:
            read_range(file, 0, 10)
        assert not isinstance(caught.value, TransientError)
        assert server.num_addresses == 3

    def test_failed_renewal_is_not_retried(self, server: FaultServer) -> None:
        file = RemoteFile(server.find_address)
        tries = []

        def find_no_address() -> Address:
            tries.append(1)
            raise TransientError("Kaggle cannot be reached")  # as after all attempts of that function

        file._find_address = find_no_address
        server.expire()
        with pytest.raises(OSError, match="Kaggle cannot be reached"):
            read_range(file, 0, 10)
        assert len(tries) == 1

    def test_an_open_stream_outlives_its_address(self, server: FaultServer) -> None:
        with RemoteFile(server.find_address).stream(0, 1000) as read:
            server.expire()
            assert read(1000) == _CONTENT[:1000]


class TestChangedArchive:
    @pytest.fixture(
        params=[
            lambda server: setattr(server, "etag", '"second"'),
            lambda server: setattr(server, "content", _CONTENT + b"more"),
            lambda server: setattr(server, "content", _CONTENT[:50]),
        ],
        ids=["ETag", "longer", "shorter"],
    )
    def change(self, request: pytest.FixtureRequest, server: FaultServer) -> Callable[[], None]:
        return lambda: request.param(server)

    def test_a_changed_archive_is_detected_in_a_response(self, server: FaultServer, change: Callable[[], None]) -> None:
        file = RemoteFile(server.find_address)
        change()
        with pytest.raises(ValueError, match="The archive changed while it was being read: run again"):
            _read(file)

    def test_a_changed_archive_is_detected_after_a_renewal(self, server: FaultServer, change: Callable[[], None]) -> None:
        file = RemoteFile(server.find_address)
        change()
        server.expire()
        with pytest.raises(ValueError, match="The archive changed while it was being read: run again"):
            _read(file)

    def test_a_changed_archive_is_detected_by_the_renewed_address_alone(self, server: FaultServer) -> None:
        file = RemoteFile(server.find_address)
        server.etag = '"second"'
        server.always = Fault(headers={"ETag": ""})
        server.expire()
        with pytest.raises(ValueError, match="The archive changed"):
            _read(file)

    def test_a_changed_archive_is_detected_when_it_is_downloaded_whole(
        self, server: FaultServer, change: Callable[[], None]
    ) -> None:
        server.serves_ranges = False
        file = RemoteFile(server.find_address)
        change()
        with pytest.raises(ValueError, match="The archive changed"), file.stream_on(0):
            pass

    def test_responses_without_etag_and_size_do_not_count_as_a_change(self, server: FaultServer) -> None:
        file = RemoteFile(server.find_address)
        server.faults.append(Fault(headers={"Content-Range": "bytes 100-199999/*"}))
        server.etag = ""
        assert _read(file) == _CONTENT[100:200_000]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


class TestSecretAddress:
    @pytest.mark.parametrize(
        "fault",
        [
            Fault(cut_after=1000),
            Fault(cut_after=1000, ending="close"),
            Fault(cut_after=1000, ending="stall"),
            Fault(status=403),
            Fault(status=404),
            Fault(status=429),
            Fault(status=302, headers={"Location": "gopher://host/?signature=another-secret"}),
            Fault(status=302, headers={"Location": "http://host:port/?signature=another-secret"}),
            Fault(status=302, headers={"Location": "http://[host/?signature=another-secret"}),
            Fault(status=200),
            Fault(headers={"ETag": '"other"'}),
            Fault(headers={"Content-Range": "nonsense"}),
            Fault(headers={"Content-Range": "bytes 0-9/10"}),
        ],
    )
    def test_errors_and_logs_do_not_show_the_address(
        self, server: FaultServer, fault: Fault, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retry, "TRIES", 2)
        with caplog.at_level(logging.DEBUG):
            file = RemoteFile(server.find_address)
            server.always = fault
            with pytest.raises((OSError, ValueError)) as caught:
                read_range(file, 100, 200_000)
        self._check_secret([*server.signatures, "another-secret"], caught.value, file, caplog.text)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/?signature={secret}", "gopher://{secret}", "http://{secret}:no/"])
    def test_errors_and_logs_do_not_show_the_address_without_a_response(
        self, url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with socket.socket() as closed, caplog.at_level(logging.DEBUG):
            closed.bind(("127.0.0.1", 0))  # no server listens here
            address = Address(url.format(port=closed.getsockname()[1], secret="0123456789"), "", 1000)
            file = RemoteFile(lambda: address)
            with pytest.raises(OSError, match="The archive's server cannot be reached") as caught:
                read_range(file, 0, 10)
        self._check_secret(["0123456789"], caught.value, file, caplog.text)

    def _check_secret(self, secrets: list[str], error: BaseException, file: RemoteFile, log: str) -> None:
        texts = [log, repr(file), *traceback.format_exception(error)]
        for cause in _causes(error):
            texts += [str(cause), repr(cause), repr(vars(cause))]
        assert not re.search("|".join(secrets), "\n".join(texts))

    def test_the_repr_of_an_address_hides_its_url(self) -> None:
        address = Address("https://host/?signature=0123456789", '"etag"', 10)
        assert "0123456789" not in f"{address} {address!r} {replace(address, num_bytes=11)!r}"
