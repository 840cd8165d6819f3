"""Whether the pipelines' own server is there, and is one that can run the pipeline."""

from typing import Any

from pipeline.kfp_client import ClusterError, ask_for_health, explained, open_client
from pipeline.preflight.finding import CouldNotLookError, FailedError

_TIMEOUT_S = 15.0
# The server says its version here only, and the web page before it by another name.
_VERSION_PATH = "/apis/v1beta1/healthz"
_VERSION_NAMES = ("tag_name", "apiServerTagName")


def check_server(host: str, namespace: str) -> str:
    """Asks the Kubeflow Pipelines API for its health, its version, and for something that needs to be signed in."""
    if not host:
        raise CouldNotLookError(
            "no address is given. Say --host, such as --host http://localhost:8080 with "
            f"`kubectl port-forward -n {namespace} svc/ml-pipeline-ui 8080:80` running"
        )
    try:
        client, health = open_client(host, namespace)
        if health.get("apiServerReady") is False:
            raise FailedError(
                f"{host} is the web page, and the API server behind it does not answer: "
                f"see `kubectl -n {namespace} get pods -l app=ml-pipeline`"
            )
        version = _version(client, host, health)
        with explained(host):
            where = {"namespace": namespace} if health.get("multi_user") else {}
            client.experiments.experiment_service_list_experiments(page_size=1, _request_timeout=_TIMEOUT_S, **where)
    except ClusterError as error:
        raise FailedError(str(error)) from None
    return f"{host} answers: Kubeflow Pipelines {version or 'that does not say its version'}"


def _version(client: Any, host: str, health: dict[str, Any]) -> str:
    try:
        with explained(host):
            health = health | ask_for_health(client, _VERSION_PATH)
    except ClusterError as error:
        if error.status != 404:
            raise
    return next((health[name] for name in _VERSION_NAMES if health.get(name)), "")
