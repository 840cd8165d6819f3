"""Opens KFP's own client without its minutes of waiting, and turns its errors into one line of advice."""

import contextlib
import json
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

# The variable with an access token for the server, as for the kfp command. Not an option, which other users could read.
TOKEN_VARIABLE = "KFP_EXISTING_TOKEN"
HEALTH_PATH = "/apis/v2beta1/healthz"
# The API server reports its release only here, and the web page in front of it under another name.
_RELEASE_PATH = "/apis/v1beta1/healthz"
_RELEASE_NAMES = ("tag_name", "apiServerTagName")
_PORT_FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, and --host http://localhost:8080"
# Advice by the status of the server's answer.
_ADVICE = {
    401: f"You are not signed in: put a token into {TOKEN_VARIABLE}, or sign in as your cluster's gateway asks.",
    403: "You may not do this: ask for a role in the namespace, give yours with --namespace, or put a token into "
    f"{TOKEN_VARIABLE}.",
}
_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 15.0


class ClusterError(RuntimeError):
    """A request to the cluster failed. The message says why, and what to do.

    Attributes:
        status: The HTTP status, or 0 if there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def address_of(host: str) -> str:
    """The server in a message: its address, or kfp's default if none is given."""
    return host or os.environ.get("KF_PIPELINES_ENDPOINT") or "the cluster of the current kubectl context"


def open_client(host: str, namespace: str) -> tuple[Any, dict[str, Any]]:
    """Opens KFP's client with the token of KFP_EXISTING_TOKEN, if there is one.

    Args:
        host: The server's address; empty for kfp's default.
        namespace: The user's; may be empty.

    Returns:
        The client, and the server's health.

    Raises:
        ClusterError: If there is no answer, or not that of Kubeflow Pipelines 2.
    """
    _check_reachable(host)
    from kfp.client import Client  # noqa: PLC0415 (takes seconds, which --help and a wrong address should not)

    class ImpatientClient(Client):  # type: ignore[misc]
        """Asks for the server's health once; kfp asks five times and logs each traceback."""

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            return self.healthzs.healthz_service_get_healthz()

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
            f"{address_of(host)} answers, but not like Kubeflow Pipelines 2 at {HEALTH_PATH}: perhaps with a sign-in page, "
            f"or it is older. Put a token into {TOKEN_VARIABLE}, or use {_PORT_FORWARD}"
        )
    return client, health


def ask_for_health(client: Any, path: str) -> dict[str, Any]:
    """The server's health at a path; empty if it is not a JSON object."""
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
    """The server's release, such as 2.17.0; empty if it does not report it.

    Args:
        client: From `open_client`.
        host: The server's address.
        health: From `open_client`.

    Raises:
        ClusterError: If it does not answer.
    """
    try:
        with explained(host):
            health = health | ask_for_health(client, _RELEASE_PATH)
    except ClusterError as error:
        if error.status != 404:
            raise
    release = next((str(health[name]) for name in _RELEASE_NAMES if health.get(name)), "")
    return "" if release == "unknown" else release


def _check_reachable(host: str) -> None:
    """Fails early for a server that does not answer, for which kfp would wait for minutes."""
    try:
        address = urlsplit(host)
        port = address.port or {"http": 80}.get(address.scheme, 443)
    except ValueError:
        raise ClusterError(f"{host} is not an address: expected one such as https://pipelines.example.com") from None
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
    """Turns errors of the client into one line.

    Raises:
        ClusterError: Instead of the client's errors.
    """
    from kfp_server_api import ApiException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ApiException as error:
        if not error.status:  # the client's own, about an untrusted certificate
            raise _unreachable(host, _reason(error)) from None
        said = f"{address_of(host)}: {error.status}, {_reason(error)}. {_ADVICE.get(error.status, '')}"
        raise ClusterError(said.strip(), error.status) from None
    except HTTPError as error:
        raise _unreachable(host, getattr(error, "reason", None) or error) from None


def _reason(error: Any) -> str:
    """The server's message about an error, without headers, and without the token if it repeats that."""
    try:
        content = json.loads(error.body)
        message = content.get("message") or content.get("error_message") or content.get("error")
    except (TypeError, ValueError, AttributeError):
        message = None
    said = " ".join(str(message or error.reason).split())
    if token := os.environ.get(TOKEN_VARIABLE):
        said = said.replace(token, "...")
    return said[:500].rstrip(".")
