"""Bulk data in Google Cloud Storage: see `components.storage`.

Credentials are the ambient ones: workload identity on a cluster, `gcloud auth application-default login` on a laptop. An object
appears whole or not at all, so nothing unfinished is ever seen; create-only means the precondition that the name's generation
is 0. Checksums are computed here, sent along, and compared with what the server says that it has stored.
"""

import base64
import contextlib
import datetime
import functools
import os
import tempfile
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

from components import storage
from components.storage.store import StoredFile

# A connection that says nothing for this long is given up.
TIMEOUT_S = 60.0
# What fails in a way that may pass is tried again for this long.
RETRY_FOR_S = 300.0
_DAMAGED_TRIES_S = 30.0
_MAX_CONNECTIONS = 256
# The name of an object's own metadata that holds the CRC-32 of the file.
_CRC32 = "crc32"
_LISTED_FIELDS = "items(name,size,crc32c,metadata),prefixes,nextPageToken"

_Result = TypeVar("_Result")


def stat(uri: str) -> StoredFile | None:
    """An object's size and checksums; None where there is none."""
    with _explained(uri):
        blob = _blob(uri)
        try:
            blob.reload(timeout=TIMEOUT_S, retry=_patient())
        except exceptions.NotFound:
            return None
        return _stored_file(blob)


def modified_s(uri: str) -> float:
    """When an object was published, in seconds since 1970."""
    with _explained(uri):
        blob = _blob(uri)
        blob.reload(timeout=TIMEOUT_S, retry=_patient())
        modified: datetime.datetime = blob.updated
        return modified.timestamp()


def list_files(uri: str, is_deep: bool = False) -> dict[str, StoredFile]:
    """The objects directly below a prefix, by name; or all below it, by what follows the prefix."""
    prefix = _prefix(uri)
    with _explained(uri):
        listed = _list(uri, delimiter=None if is_deep else "/")
        return {blob.name.removeprefix(prefix): _stored_file(blob) for blob in listed}


def list_names(uri: str) -> list[str]:
    """The names directly below a prefix, sorted: objects, and what other objects are below."""
    prefix = _prefix(uri)
    with _explained(uri):
        listed = _list(uri, delimiter="/")
        files = [blob.name.removeprefix(prefix) for blob in listed]
        return sorted(files + [name.removeprefix(prefix).rstrip("/") for name in listed.prefixes])


def list_tree(uri: str) -> list[str]:
    """The objects anywhere below a prefix, relative to it, sorted."""
    prefix = _prefix(uri)
    with _explained(uri):
        return sorted(blob.name.removeprefix(prefix) for blob in _list(uri))


def read(uri: str, start: int, length: int | None) -> bytes:
    """Reads a part of an object: all from `start` on where `length` is None. The checksum of a whole one is verified."""
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


def write(uri: str, data: bytes, crc32: str, sync: bool) -> None:
    """Publishes an object, create-only.

    Raises:
        FileExistsError: If there is one of this name.
    """
    blob = _blob(uri)
    if crc32:
        blob.metadata = {_CRC32: crc32}
    _upload(uri, blob, lambda **options: blob.upload_from_string(data, **_BYTES, **options), storage.crc32c(data))


def sync() -> None:
    """Returns at once: an object that was uploaded is safe."""


@contextlib.contextmanager
def create(uri: str) -> Iterator[Path]:
    """Gives a local path to write, and publishes it on a clean exit, create-only.

    Raises:
        FileExistsError: If there is an object of this name.
    """
    with tempfile.TemporaryDirectory() as folder:
        # The end of the name is kept, as some writers choose the format by it.
        path = Path(folder) / uri.rpartition("/")[2][-40:]
        yield path
        store(path, uri)


def store(path: Path, uri: str) -> None:
    """Publishes a copy of a local file, create-only.

    Raises:
        FileExistsError: If there is an object of this name.
    """
    blob = _blob(uri)
    _upload(uri, blob, lambda **options: blob.upload_from_filename(str(path), **_BYTES, **options), storage.file_crc32c(path))


def copy(source_uri: str, uri: str) -> None:
    """Lets the server copy an object, create-only.

    Raises:
        FileExistsError: If there is an object of this name with other content.
    """
    source, copied, token = _blob(source_uri), _blob(uri), None
    try:
        with _explained(uri):
            while True:  # a large object may take several calls
                token, _, _ = copied.rewrite(source, token, if_generation_match=0, timeout=TIMEOUT_S, retry=_patient())
                if not token:
                    return
    except FileExistsError:  # or it was done, but the answer was lost and the same was asked again
        if stat(uri) != stat(source_uri):
            raise


def fetch(uri: str, path: Path, may_link: bool) -> None:
    """Downloads an object to a local path, and verifies its checksum."""
    partial = path.with_name(f".{path.name[-40:]}.part")
    with _explained(uri):
        try:
            _undamaged(lambda: _blob(uri).download_to_filename(str(partial), timeout=TIMEOUT_S, retry=_patient()))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def replace(uri: str, data: bytes) -> None:
    """Swaps the content of a pointer object."""
    with _explained(uri):
        _blob(uri).upload_from_string(data, **_BYTES, timeout=TIMEOUT_S, retry=_patient())


def read_with_generation(uri: str) -> tuple[bytes, str] | None:
    """Reads a pointer object, and its generation; None where there is none."""

    def download() -> tuple[bytes, str]:
        blob = _blob(uri)  # anew in each try, as it keeps the generation that it has seen
        return blob.download_as_bytes(timeout=TIMEOUT_S, retry=_patient()), str(blob.generation)

    with _explained(uri):
        try:
            return _undamaged(download)
        except exceptions.NotFound:
            return None


def swap(uri: str, data: bytes, generation: str) -> bool:
    """Swaps a pointer object's content if its generation is still this one, and says whether it was."""
    blob = _blob(uri)
    try:
        upload = functools.partial(blob.upload_from_string, data, **_BYTES)
        _upload(uri, blob, upload, storage.crc32c(data), int(generation or 0))
    except FileExistsError:
        return False
    return True


def sweep(uri: str) -> None:
    """Does nothing: there are no unfinished objects."""


def remove(uri: str) -> None:
    """Removes an object, if it is there."""
    with _explained(uri), contextlib.suppress(exceptions.NotFound):
        _blob(uri).delete(timeout=TIMEOUT_S, retry=_patient())


def remove_tree(uri: str) -> None:
    """Removes every object below a prefix."""
    with _explained(uri):
        for blob in list(_list(uri)):
            with contextlib.suppress(exceptions.NotFound):
                blob.delete(timeout=TIMEOUT_S, retry=_patient())


# Images are stored as they are, and nobody is to guess a type for them.
_BYTES = {"content_type": "application/octet-stream", "checksum": "crc32c"}


def _upload(uri: str, blob: Blob, upload: Callable[..., None], crc32c: str, generation: int = 0) -> None:
    with _explained(uri):
        _undamaged(lambda: upload(if_generation_match=generation, timeout=TIMEOUT_S, retry=_patient()))
        stored = _hex(blob.crc32c)
        if stored != crc32c:
            raise OSError(f"{uri}: the server stored other content than was sent (CRC-32C {stored}, expected {crc32c})")


def _undamaged(act: Callable[[], _Result]) -> _Result:
    """Calls again what a wrong checksum made fail: bytes that were changed on the way are sent again."""
    return Retry(predicate=_is_damage, timeout=_DAMAGED_TRIES_S)(act)()


def _is_damage(error: BaseException) -> bool:
    # The server refuses an upload that does not fit its checksum in these words only.
    return isinstance(error, DataCorruption) or (isinstance(error, exceptions.BadRequest) and "crc32c" in str(error).lower())


def _patient() -> Retry:
    return DEFAULT_RETRY.with_timeout(RETRY_FOR_S)


def client() -> Client:
    """This process's client, for all of its threads."""
    return _client(os.getpid())


def close() -> None:
    """Ends this process's connections. Another call of anything here makes new ones."""
    if _client.cache_info().currsize:
        client().close()
        _client.cache_clear()


@functools.cache
def _client(process: int) -> Client:  # a forked process must not use the connections of the one it came from
    made = Client()
    # As Google's documentation has it for many threads. Beyond the pool's size, connections are used once only.
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
    """Turns what the client raises into what a reader of files expects, saying what to do."""
    bucket = "gs://" + uri.removeprefix("gs://").partition("/")[0]
    try:
        yield
    except exceptions.PreconditionFailed:
        raise FileExistsError(f"{uri} exists already; nothing was overwritten") from None
    except exceptions.NotFound:
        raise FileNotFoundError(f"{uri}: there is no such object, or no bucket {bucket}") from None
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        raise PermissionError(
            f"{uri}: access denied. Give the account that runs this step the role Storage Object User on {bucket}. "
            f"The server said: {error.message}"
        ) from None
    except google.auth.exceptions.DefaultCredentialsError:
        raise storage.NoCredentialsError(
            f"{uri}: there are no Google Cloud credentials. On a cluster, give the step's service account workload identity; "
            "elsewhere run: gcloud auth application-default login"
        ) from None
    except (exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        raise OSError(f"{uri}: Cloud Storage could not be used: {error}. The same command again carries on") from None
