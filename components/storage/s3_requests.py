"""Requests to an S3 store: the client, retries, and errors in terms of files.

Endpoint, region and credentials come from where Amazon's tools find them: environment variables (`AWS_ENDPOINT_URL_S3`),
profiles, web identity, or the machine's role.
"""

import contextlib
import functools
import io
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from components.storage.store import NoCredentialsError

# The time limit for a silent connection.
TIMEOUT_S = 60.0
# Transient errors are retried for this long. An endpoint that has never responded is given up sooner: it is probably wrong.
RETRY_FOR_S = 300.0
FIRST_ANSWER_S = 10.0
FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 20.0
_MAX_CONNECTIONS = 256
_RESUME = "Run the same command again to resume"

# The codes of transient errors that the status does not reveal.
_TRANSIENT = ("BadDigest", "IncompleteBody", "RequestTimeout", "SlowDown", "XAmzContentSHA256Mismatch")
# Two conditional writes overlapped, and neither is known to have won.
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
_DENIED = ("ExpiredToken", "ExpiredTokenException", "InvalidIdentityToken", "InvalidToken", "TokenRefreshRequired")
_NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
)
# Missing or incomplete responses.
_CUT_OFF = (
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
    ResponseParserError,
)
_ERRORS = (exceptions.ClientError, exceptions.BotoCoreError, ResponseParserError)


class UploadGoneError(OSError):
    """A multipart upload must be restarted."""


def client() -> Any:
    """This process's client, for all of its threads."""
    return _client(os.getpid())


def endpoint(uri: str) -> str:
    """The address of the store that a URI is in."""
    with _explained(uri):
        return str(client().meta.endpoint_url)


def close() -> None:
    """Closes this process's connections. The next call opens new ones."""
    if _client.cache_info().currsize:
        client().close()
        _client.cache_clear()
    _reached.clear()


# Set once the endpoint has responded.
_reached = threading.Event()


@functools.cache
def _client(process: int) -> Any:  # a forked process must not use its parent's connections
    config = Config(
        connect_timeout=min(TIMEOUT_S, 10.0),
        read_timeout=TIMEOUT_S,
        max_pool_connections=_MAX_CONNECTIONS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Older stores refuse the trailing checksums that are the default.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
    )
    return botocore.session.get_session().create_client("s3", config=config)


def split_uri(uri: str) -> tuple[str, str]:
    """The bucket and the key; the key may be empty.

    Raises:
        ValueError: If there is no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ValueError(f"Expected s3://<bucket>/<name>. Received: {uri}")
    return bucket, key


def call(uri: str, operation: str, **arguments: Any) -> dict[str, Any]:
    """Makes a request and retries transient errors.

    Raises:
        FileNotFoundError: If there is no such object or bucket.
        FileExistsError: If the condition of the request does not hold.
        EOFError: If the range begins beyond the end of the object.
        PermissionError: If access is denied, or there are no credentials.
        UploadGoneError: If a multipart upload must be restarted.
        OSError: If the store could not be used.
        ValueError: If the URI has no bucket, or no key where one is needed.
    """
    bucket, key = split_uri(uri)
    if operation != "list_objects_v2":
        if not key:
            raise ValueError(f"Expected s3://<bucket>/<name>. Received: {uri}")
        arguments["Key"] = key
    began_s, wait_s = time.monotonic(), FIRST_WAIT_S
    with _explained(uri):
        while True:
            try:
                answer: dict[str, Any] = getattr(client(), operation)(Bucket=bucket, **arguments)
                _reached.set()
                return answer | {"Body": answer["Body"].read()} if "Body" in answer else answer
            except _ERRORS as error:
                if isinstance(error, exceptions.ClientError):
                    _reached.set()
                    if _code(error) == "NoSuchUpload" or (
                        _code(error) in _CONFLICTS and operation == "complete_multipart_upload"
                    ):
                        raise UploadGoneError(f"{uri}: {error}") from None
                patience_s = RETRY_FOR_S if _reached.is_set() else FIRST_ANSWER_S
                if not _is_transient(error) or time.monotonic() + wait_s > began_s + patience_s:
                    raise
            time.sleep(wait_s * random.uniform(0.5, 1))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _code(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: exceptions.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, exceptions.ClientError):
        is_overloaded = _status(error) in (408, 429) or (_status(error) >= 500 and _status(error) != 501)
        return is_overloaded or _code(error) in (*_TRANSIENT, *_CONFLICTS)
    return isinstance(error, _CUT_OFF)


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Translates the client's exceptions into those of files, with advice."""
    bucket = f"s3://{split_uri(uri)[0]}"
    try:
        yield
    except exceptions.ClientError as error:
        code, status = _code(error), _status(error)
        said = f"The server said: {code} {error.response.get('Error', {}).get('Message', '')}".rstrip()
        if status == 404:
            raise FileNotFoundError(f"{uri}: there is no such object, or no bucket {bucket}. {said}") from None
        if status == 412:
            raise FileExistsError(f"{uri}: the condition does not hold; nothing was overwritten") from None
        if status == 416:
            raise EOFError(f"{uri} ends before the range") from None
        if status in (401, 403) or code in _DENIED:
            raise PermissionError(
                f"{uri}: access denied. Give the account that runs this step s3:ListBucket on {bucket}, and s3:GetObject, "
                f"s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on what is below it. {said}"
            ) from None
        if status == 501:
            raise io.UnsupportedOperation(
                f"{uri}: the store does not support this request. {said}. Use a newer release of it, or another store"
            ) from None
        advice = _RESUME if _is_transient(error) else "Check AWS_ENDPOINT_URL_S3 and AWS_REGION"
        raise OSError(f"{uri}: S3 could not be used. {said}. {advice}") from None
    except _NO_CREDENTIALS as error:
        raise NoCredentialsError(
            f"{uri}: there are no S3 credentials ({error}). On a cluster, give the step's service account a role, or the step "
            "a secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; elsewhere set these, or AWS_PROFILE"
        ) from None
    except _ERRORS as error:
        is_passing = _reached.is_set() and _is_transient(error)
        advice = _RESUME if is_passing else "Check AWS_ENDPOINT_URL_S3"
        raise OSError(f"{uri}: S3 could not be used: {error}. {advice}") from None
