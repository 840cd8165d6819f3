import base64
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from components import storage
from components.storage import NoCredentialsError, s3_requests, s3_writes
from components.storage.store import StoredFile, open_store
from tests import object_stores
from tests.object_stores import BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY, Fault, Faults

pytestmark = [
    pytest.mark.object_store,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # see the fixture `faults`
]

_DATA = bytes(range(256)) * 400
_LARGE = _DATA * 100  # more than one part
_CONFLICT = object_stores.s3_error(409, "ConditionalRequestConflict")
_SLOW_DOWN = object_stores.s3_error(503, "SlowDown")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, s3_root: str, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test change the client's settings for the store of `s3_root`."""
    s3_requests.close()
    yield monkeypatch
    s3_requests.close()


def _key(uri: str) -> dict[str, str]:
    return {"Bucket": BUCKET, "Key": uri.removeprefix(f"s3://{BUCKET}/")}


def test_stat_returns_checksums(s3_root: str) -> None:
    uri = storage.join(s3_root, "file")
    storage.write_bytes(uri, _DATA, crc32=storage.crc32(_DATA))
    assert storage.stat(uri) == StoredFile(len(_DATA), storage.crc32c(_DATA), storage.crc32(_DATA))


def test_objects_of_other_writers_are_read(s3_root: str, tmp_path: Path) -> None:
    plain, checked, folder = (storage.join(s3_root, name) for name in ("plain", "checked", "folder/"))
    crc32c = base64.b64encode(bytes.fromhex(storage.crc32c(_LARGE))).decode()
    s3_requests.client().put_object(Body=_LARGE, **_key(plain))
    s3_requests.client().put_object(Body=_LARGE, ChecksumCRC32C=crc32c, **_key(checked))
    s3_requests.client().put_object(Body=b"", **_key(folder))
    assert storage.stat(plain) == StoredFile(len(_LARGE))
    assert storage.stat(checked) == StoredFile(len(_LARGE), storage.crc32c(_LARGE))
    assert storage.list_tree(s3_root) == ["checked", "plain"]
    for uri in (plain, checked):
        assert storage.stored_crc32c(uri) == storage.crc32c(_LARGE)
        storage.fetch(uri, tmp_path / "file")
        assert storage.read_bytes(uri) == (tmp_path / "file").read_bytes() == _LARGE


def test_damaged_object_is_refused(s3_root: str, tmp_path: Path) -> None:
    uri = storage.join(s3_root, "file")
    s3_requests.client().put_object(Body=_DATA, Metadata={"crc32c": "00000000"}, **_key(uri))
    for read in (storage.read_bytes, storage.read_with_generation, lambda uri: storage.fetch(uri, tmp_path / "file")):
        with pytest.raises(OSError, match=f"{uri} is damaged: expected the CRC-32C 00000000"):
            read(uri)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [_DATA, _LARGE], ids=["small", "large"])
def test_copy_keeps_checksums_and_is_create_only(s3_root: str, content: bytes) -> None:
    source, target = storage.join(s3_root, "source"), storage.join(s3_root, "target")
    storage.write_bytes(source, content, crc32=storage.crc32(content))
    open_store(source).copy(source, target)
    assert storage.stat(target) == storage.stat(source)
    assert storage.read_bytes(target) == content
    with pytest.raises(FileExistsError):
        open_store(source).copy(source, target)


@pytest.mark.usefixtures("impatient_stores")
@pytest.mark.parametrize("content", [_DATA, _LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "planned",
    [
        [_SLOW_DOWN] * 5,
        [object_stores.only(["PUT"], _CONFLICT)] * 2,
        [object_stores.only(["POST", "PUT"], fault) for fault in (lambda _: False, _SLOW_DOWN)],
        [object_stores.only(["POST"], fault) for fault in (lambda _: False, _CONFLICT, lambda _: False, _CONFLICT)],
    ],
    ids=["slow down", "conflict", "slow down later", "conflict at the end"],
)
def test_conflicts_and_overload_are_retried(s3_root: str, faults: Faults, planned: list[Fault], content: bytes) -> None:
    uri = storage.join(s3_root, "file")
    faults.planned = list(planned)
    storage.write_bytes(uri, content)
    faults.planned = []
    assert storage.read_bytes(uri) == content
    assert not s3_requests.client().list_multipart_uploads(Bucket=BUCKET, Prefix=_key(uri)["Key"]).get("Uploads")


class TestConditionalWrites:
    @pytest.fixture
    def unknown_store(self, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes the store behind `faults` untested again."""
        monkeypatch.setattr(s3_writes, "_trusted", set())

    @pytest.mark.parametrize(
        ("ignored", "broken"),
        [
            (object_stores.ignore_conditions("If-None-Match", methods=["PUT"]), "a second PutObject with If-None-Match"),
            (object_stores.ignore_conditions("If-Match", methods=["PUT"]), "a PutObject with another ETag in If-Match"),
            (
                object_stores.ignore_conditions("If-None-Match", methods=["POST"]),
                "a CompleteMultipartUpload with If-None-Match",
            ),
        ],
    )
    @pytest.mark.usefixtures("unknown_store")
    def test_store_that_ignores_them_is_refused(self, s3_root: str, faults: Faults, ignored: Fault, broken: str) -> None:
        uri = storage.join(s3_root, "file")
        storage.replace_bytes(uri, b"before")
        faults.planned = [ignored] * 100
        for write in (
            lambda: storage.write_bytes(uri, b"after"),
            lambda: storage.swap(uri, b"after", "none"),
            lambda: open_store(uri).copy(uri, f"{uri}2"),
        ):
            with pytest.raises(io.UnsupportedOperation, match=f"s3://{BUCKET}: the store at {faults.address} .*{broken}"):
                write()
        faults.planned = []
        assert storage.list_tree(s3_root) == ["file"]
        assert storage.read_bytes(uri) == b"before"

    @pytest.mark.usefixtures("unknown_store")
    def test_store_that_ignores_them_in_a_race_is_refused(self, s3_root: str, faults: Faults) -> None:
        ignored = [object_stores.ignore_conditions("If-None-Match", methods=["PUT"])] * 2
        rest_of_the_test = [lambda _: False] * 3  # two more creations, and the removal
        faults.planned = [*ignored, *rest_of_the_test, *ignored]
        with pytest.raises(io.UnsupportedOperation, match="a second PutObject"):
            storage.write_bytes(storage.join(s3_root, "file"), b"")

    @pytest.mark.usefixtures("unknown_store")
    def test_one_failed_test_is_repeated(self, s3_root: str, faults: Faults) -> None:
        """Another run may have removed the object of the test."""
        faults.planned = [object_stores.ignore_conditions("If-None-Match", methods=["PUT"])] * 2
        storage.write_bytes(storage.join(s3_root, "file"), b"content")
        assert storage.read_bytes(storage.join(s3_root, "file")) == b"content"

    def test_store_is_tested_once(self, s3_root: str, faults: Faults) -> None:
        num_before = len(faults.requests)
        storage.for_each(lambda number: storage.write_bytes(f"{s3_root}/{number}", b""), range(20))
        assert len(faults.requests) == num_before + 20


def test_missing_object_or_bucket_is_named(s3_root: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{s3_root}/file: there is no such object, or no bucket s3://{BUCKET}"):
        storage.read_bytes(storage.join(s3_root, "file"))
    for act in (storage.list_names, storage.read_with_generation, lambda uri: storage.write_bytes(uri, b"")):
        with pytest.raises(FileNotFoundError, match="no bucket s3://another"):
            act("s3://another/place")


def test_missing_credentials_are_explained(settings: pytest.MonkeyPatch) -> None:
    settings.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(NoCredentialsError, match=r"no S3 credentials .* a role, .*elsewhere set these, or AWS_PROFILE"):
        storage.exists(f"s3://{BUCKET}/file")
    settings.setenv("AWS_PROFILE", "nobody")
    s3_requests.close()
    for act in (storage.exists, lambda uri: storage.write_bytes(uri, b"")):
        with pytest.raises(NoCredentialsError, match=r"profile \(nobody\) could not be found"):
            act(f"s3://{BUCKET}/file")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_errors_about_wrong_keys_do_not_reveal_them(settings: pytest.MonkeyPatch, name: str) -> None:
    settings.setenv(name, "wrong-and-secret")
    with pytest.raises(OSError, match=r"The server said: (XAdminUserNotFound|SignatureDoesNotMatch)") as refused:
        storage.list_names(f"s3://{BUCKET}")
    assert not [secret for secret in ("wrong-and-secret", S3_SECRET_KEY) if secret in str(refused.value)]


def test_unreachable_endpoint_is_given_up_soon(settings: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    settings.setattr(s3_requests, "FIRST_ANSWER_S", 1.0)
    began_s = time.monotonic()
    with pytest.raises(OSError, match=rf"Could not connect to the endpoint URL: .*:{port}/.*Check AWS_ENDPOINT_URL_S3"):
        storage.exists(f"s3://{BUCKET}/file")
    assert time.monotonic() < began_s + 10


class TestCredentials:
    """The sources of keys, endpoint and region."""

    def test_keys_and_endpoint_come_from_a_profile(self, settings: pytest.MonkeyPatch, s3_root: str, tmp_path: Path) -> None:
        endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"):
            settings.delenv(name)
        (tmp_path / "config").write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {endpoint}\n")
        (tmp_path / "keys").write_text(f"[lab]\naws_access_key_id = {S3_ACCESS_KEY}\naws_secret_access_key = {S3_SECRET_KEY}\n")
        settings.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        settings.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
        settings.setenv("AWS_PROFILE", "lab")
        assert storage.write_bytes(storage.join(s3_root, "file"), b"")

    def test_a_web_identity_token_is_exchanged_for_keys(
        self, settings: pytest.MonkeyPatch, s3_root: str, tmp_path: Path
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            settings.delenv(name)
        (tmp_path / "token").write_text("a-token")
        settings.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        settings.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/hpa")
        with HTTPServer(("127.0.0.1", 0), _SecurityTokens) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            settings.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_port}")
            assert storage.write_bytes(storage.join(s3_root, "file"), b"")
            server.shutdown()


class _SecurityTokens(BaseHTTPRequestHandler):
    """Returns the keys of the test server in exchange for the token."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        assert b"Action=AssumeRoleWithWebIdentity" in asked
        assert b"WebIdentityToken=a-token" in asked
        keys = f"<AccessKeyId>{S3_ACCESS_KEY}</AccessKeyId><SecretAccessKey>{S3_SECRET_KEY}</SecretAccessKey>"
        body = (
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            f"{keys}<SessionToken></SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that http.server gives it)
        """Logs nothing."""
