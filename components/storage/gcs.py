"""Objects in Google Cloud Storage.

Credentials are Google's application default ones: workload identity on a cluster, `gcloud auth application-default login` on a
laptop. Objects appear complete or not at all. Conditional writes name the generation that they replace, or 0 for none.
Checksums are computed locally, sent with each upload, and compared with those of the stored object.
"""

import base64
import contextlib
import datetime
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import google.auth
import requests
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from components.storage.checksums import crc32c, file_crc32c
from components.storage.store import NoCredentialsError, Store, StoredFile, local_name

# The time limit for a silent connection.
TIMEOUT_S = 60.0
# Transient errors are retried for this long.
RETRY_FOR_S = 300.0
_DAMAGED_TRIES_S = 30.0
_MAX_CONNECTIONS = 256
# The key in an object's metadata that holds the CRC-32 of the file.
_CRC32 = "crc32"
_LISTED_FIELDS = "items(name,size,crc32c,metadata),prefixes,nextPageToken"

_Result = TypeVar("_Result")


class GcsStore(Store):
    """Objects in Google Cloud Storage."""

    def stat(self, uri: str) -> StoredFile | None:
        try:
            return _stored_file(_load(uri))
        except FileNotFoundError:
            return None

    def modified_s(self, uri: str) -> float:
        modified: datetime.datetime = _load(uri).updated
        return modified.timestamp()

    def list_files(self, uri: str, is_deep: bool) -> dict[str, StoredFile]:
        prefix = _prefix(uri)

        def list_blobs() -> dict[str, StoredFile]:
            listed = _list(uri, delimiter=None if is_deep else "/")
            return {blob.name.removeprefix(prefix): _stored_file(blob) for blob in listed}

        with _explained(uri):
            return _undamaged(list_blobs)

    def list_names(self, uri: str) -> list[str]:
        prefix = _prefix(uri)

        def list_blobs() -> list[str]:
            listed = _list(uri, delimiter="/")
            files = [blob.name.removeprefix(prefix) for blob in listed]
            return sorted(files + [name.removeprefix(prefix).rstrip("/") for name in listed.prefixes])

        with _explained(uri):
            return _undamaged(list_blobs)

    def read(self, uri: str, start: int = 0, length: int | None = None) -> bytes:
        """Verifies the checksum of a whole object."""
        if length == 0:
            return b""
        with _explained(uri):
            end = None if length is None else start + length - 1
            try:
                return _undamaged(
                    lambda: _blob(uri).download_as_bytes(start=start or None, end=end, timeout=TIMEOUT_S, retry=_patient())
                )
            except exceptions.RequestRangeNotSatisfiable:
                return b""

    def read_with_generation(self, uri: str) -> tuple[bytes, str] | None:
        def download() -> tuple[bytes, str]:
            blob = _blob(uri)  # a new one for each attempt, because a blob remembers its generation
            return blob.download_as_bytes(timeout=TIMEOUT_S, retry=_patient()), str(blob.generation)

        with _explained(uri):
            try:
                return _undamaged(download)
            except exceptions.NotFound:
                return None

    def fetch(self, uri: str, path: Path, may_link: bool) -> None:
        """Verifies the checksum."""
        partial = path.with_name(f".{local_name(path.name)}.part")
        with _explained(uri):
            try:
                _undamaged(lambda: _blob(uri).download_to_filename(str(partial), timeout=TIMEOUT_S, retry=_patient()))
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def write(self, uri: str, data: bytes, crc32: str, sync: bool) -> None:
        _upload(uri, data, generation=0, crc32=crc32)

    def upload(self, path: Path, uri: str, may_move: bool) -> None:
        _upload(uri, path, generation=0)

    def copy(self, source_uri: str, uri: str) -> None:
        """Copies on the server, without downloading."""
        source, copied = _blob(source_uri), _blob(uri)

        def rewrite() -> None:
            token = None
            while True:  # a large object may take several calls
                token, _, _ = copied.rewrite(source, token, if_generation_match=0, timeout=TIMEOUT_S, retry=_patient())
                if not token:
                    return

        with _explained(uri):
            _undamaged(rewrite)

    def swap(self, uri: str, data: bytes, generation: str) -> None:
        _upload(uri, data, int(generation or 0))

    def replace(self, uri: str, data: bytes) -> None:
        _upload(uri, data, generation=None)

    def remove(self, uri: str) -> None:
        with _explained(uri), contextlib.suppress(exceptions.NotFound):
            _undamaged(lambda: _blob(uri).delete(timeout=TIMEOUT_S, retry=_patient()))


def _upload(uri: str, content: bytes | Path, generation: int | None, crc32: str = "") -> None:
    """Uploads bytes or a file in place of the object of a generation: 0 for none, None for any."""
    blob = _blob(uri)
    if crc32:
        blob.metadata = {_CRC32: crc32}
    if isinstance(content, Path):
        upload, expected = functools.partial(blob.upload_from_filename, str(content)), file_crc32c(content)
    else:
        upload, expected = functools.partial(blob.upload_from_string, content), crc32c(content)
    # Images are stored as they are: the client must not guess a type.
    options = {"content_type": "application/octet-stream", "checksum": "crc32c", "if_generation_match": generation}

    def try_once() -> None:
        try:
            upload(**options, timeout=TIMEOUT_S, retry=_patient())
        except exceptions.PreconditionFailed as error:
            if generation is not None and _generation(uri) == generation:  # the condition holds, so the data was damaged
                raise DataCorruption(error.response, f"{uri} was refused as damaged: {error}") from None
            raise

    def send() -> None:
        _undamaged(try_once)

    with _explained(uri):
        try:
            send()
        except exceptions.GoogleAPICallError as error:
            if error.code not in (404, 410):
                raise
            send()  # the session of a large upload has expired; Google advises starting over
        stored = _hex(blob.crc32c)
        if stored != expected:
            raise OSError(
                f"{uri} was damaged during the upload: expected the CRC-32C {expected}. Received: {stored}. "
                "Delete it and run again"
            )


def _generation(uri: str) -> int:
    """The generation of an object; 0 if there is none."""
    try:
        return int(_load(uri).generation)
    except FileNotFoundError:
        return 0


def _undamaged(act: Callable[[], _Result]) -> _Result:
    """Retries a call whose data or response was damaged in transit."""
    return Retry(predicate=_is_damage, timeout=_DAMAGED_TRIES_S)(act)()


def _is_damage(error: BaseException) -> bool:
    if isinstance(error, exceptions.GoogleAPICallError):
        # An incomplete response; or a refused upload that does not match its checksum, which only the message tells.
        return error.code == 200 or (isinstance(error, exceptions.BadRequest) and "crc32c" in str(error).lower())
    return isinstance(error, (DataCorruption, requests.exceptions.InvalidJSONError))


def _patient() -> Retry:
    return DEFAULT_RETRY.with_timeout(RETRY_FOR_S)


def client() -> Client:
    """This process's client, for all of its threads."""
    return _client(os.getpid())


def close() -> None:
    """Closes this process's connections. The next call opens new ones."""
    if _client.cache_info().currsize:
        client().close()
        _client.cache_clear()


@functools.cache
def _client(process: int) -> Client:  # a forked process must not use its parent's connections
    made = Client()
    # Google's advice for many threads. Connections beyond the pool's size are used only once.
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=_MAX_CONNECTIONS)
    for scheme in ("https://", "http://"):
        made._http.mount(scheme, adapter)
    return made


def _blob(uri: str) -> Blob:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not bucket or not name:
        raise ValueError(f"Expected gs://<bucket>/<name>. Received: {uri}")
    with _explained(uri):
        return client().bucket(bucket).blob(name)


def _load(uri: str) -> Blob:
    blob = _blob(uri)
    with _explained(uri):
        _undamaged(lambda: blob.reload(timeout=TIMEOUT_S, retry=_patient()))
    return blob


def _prefix(uri: str) -> str:
    name = uri.removeprefix("gs://").partition("/")[2].strip("/")
    return f"{name}/" if name else ""


def _list(uri: str, delimiter: str | None = None) -> Any:
    bucket = uri.removeprefix("gs://").partition("/")[0]
    options = {"fields": _LISTED_FIELDS, "timeout": TIMEOUT_S, "retry": _patient()}
    return client().list_blobs(bucket, prefix=_prefix(uri), delimiter=delimiter, **options)


def _stored_file(blob: Blob) -> StoredFile:
    return StoredFile(blob.size, _hex(blob.crc32c), (blob.metadata or {}).get(_CRC32, ""))


def _hex(crc32c: str | None) -> str:
    return base64.b64decode(crc32c).hex() if crc32c else ""


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Translates the client's exceptions into those of files, with advice."""
    bucket = "gs://" + uri.removeprefix("gs://").partition("/")[0]
    try:
        yield
    except exceptions.PreconditionFailed:
        raise FileExistsError(f"{uri} already exists; nothing was overwritten") from None
    except exceptions.NotFound:
        raise FileNotFoundError(f"{uri}: there is no such object, or no bucket {bucket}") from None
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        raise PermissionError(
            f"{uri}: access denied. Give the account that runs this step the role Storage Object User on {bucket}. "
            f"The server said: {error.message}"
        ) from None
    except google.auth.exceptions.DefaultCredentialsError:
        raise NoCredentialsError(
            f"{uri}: there are no Google Cloud credentials. On a cluster, give the step's service account workload identity; "
            "elsewhere run: gcloud auth application-default login"
        ) from None
    except (exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        raise OSError(f"{uri}: Cloud Storage could not be used: {error}. Run the same command again to resume") from None
