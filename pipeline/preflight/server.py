"""Checks that the Kubeflow Pipelines server is reachable and can run the pipeline."""

from pipeline.kfp_client import ClusterError, address_of, ask_for_release, explained, open_client
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.submission import Submission

_TIMEOUT_S = 15.0


def check_server(submission: Submission, host: str, namespace: str) -> str:
    """Asks the Kubeflow Pipelines API for its health and release, and for something that needs authentication."""
    if not host:
        raise NotCheckedError(
            "no address is given. Give --host, such as --host http://localhost:8080 with "
            f"`kubectl port-forward -n {namespace} svc/ml-pipeline-ui 8080:80` running"
        )
    try:
        client, health = open_client(host, namespace)
        if health.get("apiServerReady") is False:
            raise FailedError(
                f"{host} serves the web page, but the API server behind it does not answer: "
                f"see `kubectl -n {namespace} get pods -l app=ml-pipeline`"
            )
        release = ask_for_release(client, host, health)
        with explained(host):
            where = {"namespace": namespace} if health.get("multi_user") else {}
            client.experiments.experiment_service_list_experiments(page_size=1, _request_timeout=_TIMEOUT_S, **where)
        warning = submission.needs.check(release, address_of(host))
    except (ClusterError, ValueError) as error:
        raise FailedError(str(error)) from None
    if warning:
        raise NotCheckedError(warning)
    return f"{host} answers: Kubeflow Pipelines {release}"
