import subprocess
import sys
from pathlib import Path

import google_crc32c
import pytest

from components import storage
from pipeline.compiled import ROOT


@pytest.mark.parametrize(
    ("uri", "parts", "joined"),
    [
        ("/data", ("raw", "x.png"), "/data/raw/x.png"),
        ("/data/", ("raw",), "/data/raw"),
        ("/", ("raw",), "/raw"),
        ("relative", ("raw",), "relative/raw"),
        ("gs://bucket", ("raw",), "gs://bucket/raw"),
        ("gs://bucket/data/", ("raw",), "gs://bucket/data/raw"),
    ],
)
def test_join_puts_one_slash_between_parts(uri: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(uri, *parts) == joined


def test_checksums_are_the_published_crc32c(tmp_path: Path) -> None:
    assert storage.crc32c(b"123456789") == "e3069283"  # the check value of CRC-32C in RFC 3720's polynomial
    data = bytes(range(256)) * 10_000  # more than one chunk
    (tmp_path / "file").write_bytes(data)
    assert storage.file_crc32c(tmp_path / "file") == storage.crc32c(data) == f"{google_crc32c.value(data):08x}"


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"Expected a path, gs://<bucket>/<name> or s3://<bucket>/<name>\. Received: ftp://host/file"
    ):
        storage.exists("ftp://host/file")


def test_local_files_do_not_import_object_store_clients(tmp_path: Path) -> None:
    script = """if True:
        import sys
        from components import storage
        storage.write_bytes(sys.argv[1], b"")
        sys.exit("google.cloud.storage" in sys.modules or "botocore" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", script, tmp_path / "file"], cwd=ROOT, check=False).returncode == 0
