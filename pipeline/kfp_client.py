"""KFP's own client, opened so that it does not wait for minutes, and its errors in one line that says what to do."""

import contextlib
import json
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

# An access token for the server, in the variable that the kfp command reads, too. Never an option: all can read those.
TOKEN_VARIABLE = "KFP_EXISTING_TOKEN"
HEALTH_PATH = "/apis/v2beta1/healthz"
# The API server tells its release here only, and the web page in front of it tells it by another name.
_RELEASE_PATH = "/apis/v1beta1/healthz"
_RELEASE_NAMES = ("tag_name", "apiServerTagName")
_PORT_FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, and --host http://localhost:8080"
# What the server's answers mean for who asked.
_ADVICE = {
    401: f"You are not signed in: put a token into {TOKEN_VARIABLE}, or sign in as your cluster's gateway asks.",
    403: "You may not do this: ask for a role in the namespace, name yours by --namespace, or put a token into "
    f"{TOKEN_VARIABLE}.",
}
_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 15.0


class ClusterError(RuntimeError):
    """The cluster did not do what was asked. The message says why, and what to do.

    Attributes:
        status: The HTTP status, or 0 if there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def address_of(host: str) -> str:
    """How to call the server in a message: its address, or where kfp looks if none is given."""
    return host or os.environ.get("KF_PIPELINES_ENDPOINT") or "the cluster of the current kubectl context"


def open_client(host: str, namespace: str) -> tuple[Any, dict[str, Any]]:
    """Opens KFP's client with the token of KFP_EXISTING_TOKEN, if there is one.

    Args:
        host: The server's address; empty is for where kfp looks by itself.
        namespace: The user's; may be empty.

    Returns:
        The client, and what the server says of its health.

    Raises:
        ClusterError: If nobody answers, or not as Kubeflow Pipelines 2 does.
    """
    from kfp.client import Client  # noqa: PLC0415 (takes seconds, which --help should not)

    class ImpatientClient(Client):  # type: ignore[misc]
        """Asks for the server's health once, where kfp asks five times and logs each traceback."""

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            return self.healthzs.healthz_service_get_healthz()

    _knock(host)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings before each of three attempts
    options = {"namespace": namespace} if namespace else {}
    health: dict[str, Any] = {}
    try:
        with explained(host):
            client = ImpatientClient(host=host or None, existing_token=os.environ.get(TOKEN_VARIABLE) or None, **options)
            health = ask_for_health(client, HEALTH_PATH)
    except ClusterError as error:
        if error.status != 404:
            raise
    if not health:
        raise ClusterError(
            f"{address_of(host)} answers, but not as Kubeflow Pipelines 2 does at {HEALTH_PATH}: perhaps with a page to sign "
            f"in, or it is older. Put a token into {TOKEN_VARIABLE}, or use {_PORT_FORWARD}"
        )
    return client, health


def ask_for_health(client: Any, path: str) -> dict[str, Any]:
    """All that the server says of its health at a path; nothing if that is no JSON object."""
    said = client.healthzs.api_client.call_api(
        path,
        "GET",
        response_type="object",
        auth_settings=["Bearer"],
        _return_http_data_only=True,
        _request_timeout=_ANSWER_TIMEOUT_S,
    )
    return said if isinstance(said, dict) else {}


def ask_for_release(client: Any, host: str, health: dict[str, Any]) -> str:
    """The server's release, such as 2.17.0; empty if it tells none.

    Args:
        client: From `open_client`, as is health.
        host: The server's address.
        health: What it says of its health.

    Raises:
        ClusterError: If it does not answer.
    """
    try:
        with explained(host):
            health = health | ask_for_health(client, _RELEASE_PATH)
    except ClusterError as error:
        if error.status != 404:
            raise
    told = next((str(health[name]) for name in _RELEASE_NAMES if health.get(name)), "")
    return "" if told == "unknown" else told


def _knock(host: str) -> None:
    """Kfp would wait for minutes for a server that does not answer."""
    try:
        address = urlsplit(host)
        port = address.port or {"http": 80}.get(address.scheme, 443)
    except ValueError:
        raise ClusterError(f"{host} is no address: expected one such as https://pipelines.example.com") from None
    if address.hostname:
        try:
            socket.create_connection((address.hostname, port), _CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise _unreachable(host, error) from None


def _unreachable(host: str, reason: object) -> ClusterError:
    return ClusterError(
        f"{address_of(host)} cannot be reached: {reason}. Name the server by --host or KFP_HOST; if it has no address outside "
        f"of its cluster: {_PORT_FORWARD}"
    )


@contextlib.contextmanager
def explained(host: str) -> Iterator[None]:
    """Says in one line what went wrong while the client asked something.

    Raises:
        ClusterError: In place of the client's errors.
    """
    from kfp_server_api import ApiException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ApiException as error:
        if not error.status:  # this client's own, of a certificate that it does not trust
            raise _unreachable(host, _reason(error)) from None
        said = f"{address_of(host)}: {error.status}, {_reason(error)}. {_ADVICE.get(error.status, '')}"
        raise ClusterError(said.strip(), error.status) from None
    except HTTPError as error:
        raise _unreachable(host, getattr(error, "reason", None) or error) from None


def _reason(error: Any) -> str:
    """What the server says of an error: without its headers, and without the token, should it repeat that."""
    try:
        content = json.loads(error.body)
        message = content.get("message") or content.get("error_message") or content.get("error")
    except (TypeError, ValueError, AttributeError):
        message = None
    said = " ".join(str(message or error.reason).split())
    if token := os.environ.get(TOKEN_VARIABLE):
        said = said.replace(token, "...")
    return said[:500].rstrip(".")
