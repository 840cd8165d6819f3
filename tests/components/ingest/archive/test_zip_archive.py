import io
import logging
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.ingest.archive import retry
from components.ingest.archive.byte_source import LONGEST_SKIP_BYTES, LocalFile, RangeFile
from components.ingest.archive.directory import read_directory
from components.ingest.archive.member import DamagedMemberError, Part, content_pieces
from components.ingest.archive.remote import RangesRefusedError, RemoteFile
from components.ingest.archive.retry import TransientError
from components.ingest.archive.spool import Spool
from components.ingest.archive.zip_archive import Archive, open_archive
from tests.components.ingest.fault_server import Fault, FaultServer
from tests.components.ingest.zip_files import directory_start, make_zip, member_info, with_entry, with_header

pytestmark = pytest.mark.usefixtures("quick_retries", "spool_dir")

OpenZip = Callable[[bytes], Archive]
Serve = Callable[[bytes], FaultServer]

_NOISE = random.Random(0).randbytes(30_000)
_TEXT = b"Id,Target\n" + b"".join(b"%d,%d\n" % (k, k % 28) for k in range(2000))
_FILES = [("train.csv", _TEXT), ("train/a_red.png", _NOISE), ("train/empty.png", b""), ("train/é_red.png", _NOISE[:77])]
_DEFLATED = zipfile.ZIP_DEFLATED
_GOOD = {
    "stored": make_zip(_FILES),
    "deflated": make_zip(_FILES, _DEFLATED),
    "with folders": make_zip([("train/", b""), *_FILES, ("empty folder/", b"")]),
    "with a comment": make_zip(_FILES, comment=b"as received " * 5000),
    "streamed, stored": make_zip(_FILES, is_streamed=True),
    "streamed, deflated": make_zip(_FILES, _DEFLATED, is_streamed=True),
    "ZIP64": make_zip(_FILES, has_zip64=True),
    "ZIP64, streamed, deflated": make_zip(_FILES, _DEFLATED, is_streamed=True, has_zip64=True),
    "with extra fields": make_zip(
        [(member_info(name, extra=struct.pack("<HH9s", 0x5455, 9, b"")), data) for name, data in _FILES]
    ),
    "mixed": make_zip([(member_info(name, method=8 * (number % 2)), data) for number, (name, data) in enumerate(_FILES)]),
    "of nothing": make_zip([]),
}

# Twenty images of 20 kB, every second one deflated.
_IMAGES = {f"train/{k:02}_red.png": _NOISE[k : k + 20_000] for k in range(20)}
_ARCHIVE = make_zip([(member_info(name, method=8 * (k % 2)), data) for k, (name, data) in enumerate(_IMAGES.items())])


def _contents(archive: Archive) -> dict[str, bytes]:
    return {member.name: data for member, data in archive.read(archive.members)}


class TestGoodArchive:
    @pytest.mark.parametrize("data", _GOOD.values(), ids=_GOOD)
    def test_members_are_the_same_as_zipfile_reads(self, open_zip: OpenZip, data: bytes) -> None:
        archive = open_zip(data)
        with zipfile.ZipFile(io.BytesIO(data)) as reference:
            files = [info for info in reference.infolist() if not info.is_dir()]
            assert _contents(archive) == {info.filename: reference.read(info) for info in files}
        described = [
            (member.name, member.offset, member.compressed_bytes, member.num_bytes, member.crc32, member.method)
            for member in archive.members
        ]
        assert described == [
            (info.filename, info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type)
            for info in files
        ]

    def test_validator_changes_with_the_directory(self, open_zip: OpenZip) -> None:
        validators = set()
        for data in (_GOOD[kind] for kind in ("stored", "deflated", "streamed, stored", "of nothing")):
            archive = open_zip(data)
            assert archive.validator == open_zip(data).validator
            assert archive.validator.startswith("zip:")
            validators.add(archive.validator)
        assert len(validators) == 4

    def test_members_are_read_in_the_order_of_their_offsets(self, open_zip: OpenZip) -> None:
        archive = open_zip(_ARCHIVE)
        asked = random.Random(1).sample(archive.members, 7)
        found = [member for member, _ in archive.read(asked)]
        assert found == sorted(asked, key=lambda member: member.offset)
        assert list(archive.read([])) == []

    def test_directory_may_be_in_another_order(self, open_zip: OpenZip) -> None:
        data = make_zip([("a", b"first"), ("b", b"second")])
        start, middle = directory_start(data), directory_start(data) + 47
        archive = open_zip(data[:start] + data[middle:-22] + data[start:middle] + data[-22:])
        assert [(member.name, data) for member, data in archive.read(archive.members)] == [("a", b"first"), ("b", b"second")]
        assert [member.offset for member in archive.members] == [0, 36]


class TestRequests:
    def test_neighbours_share_a_request(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.requests.clear()
        assert _contents(archive) == _IMAGES
        assert [(request.start, request.end) for request in server.requests] == [(0, archive.members[-1].end)]

    def test_small_gaps_are_read_and_large_ones_skipped(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.requests.clear()
        first, near, far = archive.members[0], archive.members[3], archive.members[3 + 5]
        assert near.offset - first.end <= LONGEST_SKIP_BYTES < far.offset - near.end
        asked = [far, near, first]
        assert {member.name: data for member, data in archive.read(asked)} == {m.name: _IMAGES[m.name] for m in asked}
        assert [(request.start, request.end) for request in server.requests] == [(0, near.end), (far.offset, far.end)]

    def test_reading_may_stop_early(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        reading = archive.read(archive.members)
        assert next(reading)[1] == _IMAGES[archive.members[0].name]
        reading.close()
        assert _contents(archive) == _IMAGES

    def test_threads_do_not_interfere(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        chunks = [archive.members[k : k + 3] for k in range(0, 20, 3)] * 4
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda chunk: list(archive.read(chunk)), chunks))
        assert found == [[(member, _IMAGES[member.name]) for member in chunk] for chunk in chunks]


_FAULTS = {
    "reset": Fault(cut_after=50_000),
    "reset at once": Fault(cut_after=0),
    "truncated": Fault(cut_after=50_000, ending="close"),
    "stalled": Fault(cut_after=50_000, ending="stall"),
    "slow": Fault(piece_bytes=20_000),
    "overloaded": Fault(status=503),
    "too many requests": Fault(status=429, headers={"Retry-After": "0"}),
    "expired": Fault(status=403),
    "another range": Fault(headers={"Content-Range": f"bytes 0-1/{len(_ARCHIVE)}"}),
    "a wrong byte of content": Fault(flip=50_000),
    "a wrong byte of deflated content": Fault(flip=_ARCHIVE.index(b"03_red.png") + 2000),
    "a wrong byte of a signature": Fault(flip=_ARCHIVE.index(b"03_red.png") - 36),
    "a wrong byte of a name": Fault(flip=_ARCHIVE.index(b"03_red.png")),
    "a wrong byte of a name's length": Fault(flip=_ARCHIVE.index(b"03_red.png") - 10),
}


class TestFaults:
    @pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
    def test_transient_faults_are_survived(self, serve: Serve, spool: Spool, fault: Fault) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.faults.extend([fault, None, fault, fault])
        found = list(archive.read(archive.members))
        assert found == [(member, _IMAGES[member.name]) for member in archive.members]

    def test_retry_starts_at_the_failed_member(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.requests.clear()
        server.faults.append(Fault(cut_after=50_000, ending="close"))
        assert _contents(archive) == _IMAGES
        assert [request.start for request in server.requests] == [0, archive.members[2].offset]

    def test_attempts_are_counted_per_member(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.always = Fault(cut_after=21_000, ending="close")  # never more than one member
        assert len(archive.members) > retry.TRIES
        assert _contents(archive) == _IMAGES

    @pytest.mark.parametrize("fault", [Fault(cut_after=5000), Fault(cut_after=5000, ending="close"), Fault(status=503)])
    def test_persistent_faults_are_an_error(self, serve: Serve, spool: Spool, fault: Fault) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.always = fault
        server.requests.clear()
        with pytest.raises(TransientError, match=r"The download of the archive was interrupted|status 503"):
            next(archive.read(archive.members))
        assert len(server.requests) == retry.TRIES

    def test_persistent_damage_names_the_member(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        member = archive.members[2]
        server.always = Fault(flip=member.offset + 1000)
        reading = archive.read(archive.members)
        assert [next(reading)[0], next(reading)[0]] == archive.members[:2]
        message = rf"^The archive: the member 'train/02_red\.png' is damaged: expected CRC-32 {member.crc32:08x}\. Received: "
        with pytest.raises(DamagedMemberError, match=message):
            next(reading)

    def test_damaged_copy_names_its_file(self, serve: Serve, spool: Spool, spool_dir: Path) -> None:
        server = serve(_ARCHIVE)
        server.serves_ranges = False
        server.always = Fault(flip=1000)
        archive = open_archive(spool.readable(RemoteFile(server.find_address)), spool)
        with pytest.raises(DamagedMemberError, match=rf"copy {spool_dir}.*00_red\.png' is damaged"):
            next(archive.read(archive.members))

    def test_changed_archive_is_an_error(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        reading = archive.read([archive.members[0], archive.members[10]])
        next(reading)
        server.etag = '"second"'
        with pytest.raises(ValueError, match="The archive changed while it was being read: run again"):
            next(reading)

    def test_server_that_stops_serving_ranges_is_an_error(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        archive = open_archive(RemoteFile(server.find_address), spool)
        server.serves_ranges = False
        with pytest.raises(RangesRefusedError):
            next(archive.read(archive.members))

    def test_copy_is_read_without_ranges(self, serve: Serve, spool: Spool) -> None:
        server = serve(_ARCHIVE)
        server.serves_ranges = False
        assert _contents(open_archive(spool.readable(RemoteFile(server.find_address)), spool)) == _IMAGES


class TestMismatch:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (with_header(_ARCHIVE, 0, signature=0), "its header differs from the directory"),
            (with_header(_ARCHIVE, 0, method=8), "its header differs from the directory"),
            (with_header(_ARCHIVE, 0, extra_length=60_000), "its header differs from the directory"),
            (with_header(_ARCHIVE, 0, extra_length=1), "its header differs from the directory"),
            (with_header(_ARCHIVE, 0, name_length=5), "its header names it 'train'"),
            (_ARCHIVE.replace(b"00_red.png", b"99_red.png", 1), r"its header names it 'train/99_red\.png'"),
            (_ARCHIVE.replace(b"00_red.png", b"\xff0_red.png", 1), r"its header names it 'train/..xff0_red\.png'"),
            (with_entry(_ARCHIVE, 0, crc32=0x1234), r"expected CRC-32 00001234\. Received: "),
            (with_entry(_ARCHIVE, 0, size=19_999, compressed=19_999), r"expected CRC-32 [0-9a-f]{8}\. Received: "),
            (with_entry(_ARCHIVE, 1, size=19_999), "its content does not have 19999 bytes"),
            (with_entry(_ARCHIVE, 1, size=20_001), "its content does not have 20001 bytes"),
            (with_entry(_ARCHIVE, 1, size=0), "its content does not have 0 bytes"),
            (with_entry(_ARCHIVE, 1, compressed=10_000), "its content does not have 20000 bytes"),
        ],
    )
    def test_mismatch_with_the_directory_names_the_member(self, open_zip: OpenZip, data: bytes, message: str) -> None:
        archive = open_zip(data)
        with pytest.raises(ValueError, match=rf"^The archive: the member 'train/0[01]_red\.png' is damaged: {message}"):
            _contents(archive)

    @pytest.mark.parametrize("more_bytes", [-1, 4])
    def test_wrong_end_of_a_deflated_member_is_detected(self, open_zip: OpenZip, more_bytes: int) -> None:
        # Two bytes of an empty last block; the bytes after the deflated content belong to no member.
        data = make_zip([("a", b""), ("b", b"")], _DEFLATED, is_streamed=True)
        with pytest.raises(ValueError, match="its content does not have 0 bytes"):
            _contents(open_zip(with_entry(data, 0, compressed=2 + more_bytes)))

    def test_too_large_member_is_not_unpacked_further(self, open_zip: OpenZip) -> None:
        archive = open_zip(with_entry(make_zip([("bomb", bytes(50 << 20))], _DEFLATED), 0, size=1000))
        tracemalloc.start()
        try:
            with pytest.raises(DamagedMemberError, match="its content does not have 1000 bytes"):
                _contents(archive)
            assert tracemalloc.get_traced_memory()[1] < 10 << 20
        finally:
            tracemalloc.stop()


class TestNestedArchive:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, _DEFLATED])
    @pytest.mark.parametrize("inner_method", [zipfile.ZIP_STORED, _DEFLATED])
    def test_is_read_like_a_folder(self, serve: Serve, spool: Spool, method: int, inner_method: int) -> None:
        inner = make_zip([("a_red.png", _NOISE), ("deep/b_red.png", _TEXT)], inner_method)
        server = serve(make_zip([("train.csv", _TEXT), ("train.zip", inner), ("data/test.ZIP", inner), ("z", b"z")], method))
        archive = open_archive(RemoteFile(server.find_address), spool)
        assert _contents(archive) == {
            "train.csv": _TEXT,
            "z": b"z",
            "train/a_red.png": _NOISE,
            "train/deep/b_red.png": _TEXT,
            "data/test/a_red.png": _NOISE,
            "data/test/deep/b_red.png": _TEXT,
        }

    def test_own_folder_is_not_repeated(self, open_zip: OpenZip) -> None:
        inner = make_zip([("train/a", b"first"), ("train/train/b", b"second"), ("other/c", b"third")])
        archive = open_zip(make_zip([("data/train.zip", inner)]))
        assert _contents(archive) == {
            "data/train/a": b"first",
            "data/train/train/b": b"second",
            "data/train/other/c": b"third",
        }

    def test_stored_one_is_read_in_place(self, serve: Serve, spool: Spool, spool_dir: Path) -> None:
        server = serve(make_zip([("train.zip", _ARCHIVE), ("rest", _NOISE * 5)]))
        archive = open_archive(RemoteFile(server.find_address), spool)
        assert sum(request.end - request.start for request in server.requests) < 400_000
        server.requests.clear()
        images = [member for member in archive.members if member.name in _IMAGES]
        assert [data for _, data in archive.read(images[5:7])] == [_IMAGES[member.name] for member in images[5:7]]
        assert sum(request.end - request.start for request in server.requests) < 50_000
        assert not list(spool_dir.iterdir())

    @pytest.mark.parametrize("fault", [_FAULTS["reset"], _FAULTS["stalled"], _FAULTS["overloaded"]])
    def test_deflated_one_is_unpacked_once(
        self, serve: Serve, spool: Spool, spool_dir: Path, caplog: pytest.LogCaptureFixture, fault: Fault
    ) -> None:
        server = serve(make_zip([("train.zip", _ARCHIVE)], _DEFLATED))
        server.faults.extend([None, fault, fault])
        with caplog.at_level(logging.INFO, "components"):
            assert _contents(open_archive(RemoteFile(server.find_address), spool)) == _IMAGES
        assert f"train.zip is compressed in the archive: unpacking its 402 kB to {spool_dir}/" in caplog.text
        server.requests.clear()
        assert _contents(open_archive(RemoteFile(server.find_address), spool)) == _IMAGES
        assert all(request.start >= len(server.content) - 65_700 for request in server.requests)

    def test_highly_compressed_one_is_unpacked_whole(self, open_zip: OpenZip) -> None:
        text = random.Random(2).randbytes(1 << 20).hex().encode() * 2
        assert _contents(open_zip(make_zip([("train.zip", make_zip([("a", text)]))], _DEFLATED))) == {"train/a": text}

    @pytest.mark.parametrize("fields", [{"crc32": 1000}, {"size": 1000}, {"size": len(_ARCHIVE) + 1}])
    def test_damaged_one_leaves_no_file(self, open_zip: OpenZip, spool_dir: Path, fields: dict[str, int]) -> None:
        data = make_zip([("train.zip", _ARCHIVE)], _DEFLATED)
        with pytest.raises(DamagedMemberError, match=r"the member 'train\.zip' is damaged"):
            open_zip(with_entry(data, 0, **fields))
        assert not list(spool_dir.glob("*/*/*.zip"))

    def test_too_large_one_is_not_unpacked_further(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.zip"
        path.write_bytes(with_entry(make_zip([("train.zip", bytes(20 << 20))], _DEFLATED), 0, size=1000))
        source = LocalFile(path)
        (member,) = read_directory(source).members
        pieces = content_pieces(RangeFile(source), Part(source), member)
        with pytest.raises(DamagedMemberError, match="its content does not have 1000 bytes"):
            next(pieces)

    def test_archive_within_a_nested_one_is_refused(self, open_zip: OpenZip) -> None:
        data = make_zip([("train.zip", make_zip([("more.zip", _ARCHIVE)]))])
        with pytest.raises(
            ValueError, match=r"train\.zip is refused: its member 'train/more\.zip' is an archive nested in a nested archive"
        ):
            open_zip(data)

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, _DEFLATED])
    def test_harmful_one_is_refused(self, open_zip: OpenZip, method: int) -> None:
        with pytest.raises(ValueError, match=r"its member '\.\./a' does not have a plain relative path"):
            open_zip(make_zip([("train.zip", make_zip([("../a", b"content")]))], method))

    def test_file_that_is_not_an_archive_is_refused(self, open_zip: OpenZip) -> None:
        with pytest.raises(ValueError, match=r"train\.zip is not a ZIP archive"):
            open_zip(make_zip([("train.zip", _NOISE)]))

    def test_duplicate_of_an_outer_member_is_refused(self, open_zip: OpenZip) -> None:
        data = make_zip([("train.zip", make_zip([("a", b"first")])), ("train/a", b"second")])
        with pytest.raises(ValueError, match="its member 'train/a' has the same name as another one"):
            open_zip(data)


_FUZZED = {
    "stored": _GOOD["stored"],
    "deflated": _GOOD["streamed, deflated"],
    "ZIP64": _GOOD["ZIP64"],
    "in the archive": make_zip([("train.zip", _GOOD["deflated"]), ("train.csv", _TEXT)]),
    "deflated in the archive": make_zip([("train.zip", make_zip([("a", _NOISE[:500])])), ("b", b"b")], _DEFLATED),
}


@pytest.mark.parametrize("kind", _FUZZED)
def test_fuzzed_archives_give_the_right_content_or_a_clear_error(
    open_zip: OpenZip, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(retry, "TRIES", 1)
    data = _FUZZED[kind]
    right = _contents(open_zip(data))
    draws = random.Random(kind)
    num_refused = 0
    for _ in range(1000):
        try:
            found = _contents(open_zip(_damaged(data, draws)))
        except (ValueError, OSError):
            num_refused += 1
        else:
            assert found.items() <= right.items()
    assert num_refused > 300


def _damaged(data: bytes, draws: random.Random) -> bytes:
    """Changes or removes a few bytes, mostly of the directory and the end."""
    changed = bytearray(data)
    for _ in range(draws.choice([1, 1, 2, 5])):
        position = draws.randrange(max(0, len(data) - 300), len(data)) if draws.random() < 0.7 else draws.randrange(len(data))
        if draws.random() < 0.1:
            del changed[position : position + draws.choice([1, 4, 50, len(data)])]
        elif position < len(changed):
            changed[position] = draws.choice([0, 1, 0xFF, changed[position] ^ 1 << draws.randrange(8), draws.randrange(256)])
    return bytes(changed)
