"""Whether the pipelines' own server is there, and is one that can run the pipeline."""

import contextlib
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from pipeline.preflight.finding import CouldNotLookError, FailedError

_TIMEOUT_S = 15.0
# The server and the web page before it name the version differently, and the server says it at v1beta1 only.
_HEALTH_PATHS = ("/apis/v2beta1/healthz", "/apis/v1beta1/healthz")
_VERSION_NAMES = ("tag_name", "apiServerTagName")
_OLDEST_MAJOR = 2


def check_server(host: str, namespace: str, token: str) -> str:
    """Asks the Kubeflow Pipelines API for its health, its version, and for something that needs to be signed in."""
    if not host:
        raise CouldNotLookError(
            "no address is given. Say --host, such as --host http://localhost:8080 with "
            f"`kubectl port-forward -n {namespace} svc/ml-pipeline-ui 8080:80` running"
        )
    with _open_client(host, namespace, token) as client:
        health = [_ask(client, path, host) for path in _HEALTH_PATHS]
        answered = [answer for answer in health if answer]
        if not answered:
            raise FailedError(
                f"{host} answers, but not as Kubeflow Pipelines does: it has no {_HEALTH_PATHS[0]}. Is --host right?"
            )
        if any(answer.get("apiServerReady") is False for answer in answered):
            raise FailedError(
                f"{host} is the web page, and the API server behind it does not answer: "
                f"see `kubectl -n {namespace} get pods -l app=ml-pipeline`"
            )
        version = next((answer[name] for answer in answered for name in _VERSION_NAMES if answer.get(name)), "")
        is_multi_user = any(answer.get("multi_user") for answer in answered)
        _ask_for_experiments(client, namespace if is_multi_user else None)
    major = version.removeprefix("v").partition(".")[0]
    if major.isdecimal() and int(major) < _OLDEST_MAJOR:
        raise FailedError(f"{host} is Kubeflow Pipelines {version}: expected {_OLDEST_MAJOR}.0 or later. Upgrade it")
    return f"{host} answers: Kubeflow Pipelines {version or 'that does not say its version'}"


@contextlib.contextmanager
def _open_client(host: str, namespace: str, token: str) -> Iterator[Any]:
    import kfp  # noqa: PLC0415 (takes seconds, which --help should not)

    class Client(kfp.Client):  # type: ignore[misc] # which mypy cannot see
        """One that asks nothing by itself, where KFP's own asks five times and prints a traceback for each."""

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            return SimpleNamespace(multi_user=False)

    with warnings.catch_warnings(), _explained(host):
        warnings.simplefilter("ignore", FutureWarning)  # says that this is version 2
        yield Client(host=host, namespace=namespace, existing_token=token or None)


def _ask(client: Any, path: str, host: str) -> dict[str, Any] | None:
    """What the server says of its health; None where it has no such address."""
    from kfp_server_api import ApiException  # noqa: PLC0415

    api = client._healthz_api.api_client
    try:
        content = api.call_api(
            path,
            "GET",
            response_type="object",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
            _request_timeout=_TIMEOUT_S,
        )
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    if isinstance(content, dict):
        return content
    raise FailedError(f"{host} answers, but not as Kubeflow Pipelines does: {path} is no JSON. Is it a sign-in page?")


def _ask_for_experiments(client: Any, namespace: str | None) -> None:
    client._experiment_api.experiment_service_list_experiments(
        page_size=1, _request_timeout=_TIMEOUT_S, **({"namespace": namespace} if namespace else {})
    )


@contextlib.contextmanager
def _explained(host: str) -> Iterator[None]:
    import urllib3  # noqa: PLC0415
    from kfp_server_api import ApiException  # noqa: PLC0415

    try:
        yield
    except ApiException as error:
        if error.status in (401, 403):
            raise FailedError(
                f"{host} does not let you in ({error.status}). "
                "Put a token into KFP_EXISTING_TOKEN, or name your namespace by --namespace"
            ) from None
        if not error.status:  # of this client: the server has no certificate that it trusts
            raise FailedError(f"{host} has no certificate that is trusted here. Is its address right?") from None
        raise FailedError(f"{host} answers with status {error.status}: see its log") from None
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise FailedError(
            f"{host} cannot be reached ({type(reason).__name__}). "
            "Is its address right, and `kubectl port-forward` still running?"
        ) from None
    except ValueError:
        raise FailedError(f"{host} is no address: expected one such as https://pipelines.example.com") from None
