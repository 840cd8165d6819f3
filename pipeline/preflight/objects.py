"""Whether a namespace has the Secrets and ConfigMaps that the pods get. Values of Secrets are never looked at."""

from pipeline.cluster_objects import KAGGLE, KFP_S3_KEYS, S3_KEYS, S3_SETTINGS
from pipeline.preflight.finding import FailedError
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.submission import ObjectUse, Submission

# Of these one key is enough, and what a run does without an optional object.
_ANY_KEY = (KAGGLE.name, S3_SETTINGS.name)
_WITHOUT = {
    S3_KEYS.name: "pods use web identity or the credentials of their node for s3://",
    S3_SETTINGS.name: "s3:// is Amazon's, in the region of the pods",
}


def check_objects(submission: Submission, cluster: Cluster, namespace: str) -> str:
    """Looks for the Secrets and ConfigMaps that a run with these arguments reads, and for their keys.

    Raises:
        FailedError: If one that is needed is missing, or has too few keys.
        CouldNotLookError: If the cluster does not tell.
    """
    values = [str(value) for value in submission.values.values()]
    is_kaggle, is_s3 = (any(value.startswith(scheme) for value in values) for scheme in ("kaggle:", ("s3://", "dir:s3://")))
    is_read = {KAGGLE.name: is_kaggle, S3_KEYS.name: is_s3, KFP_S3_KEYS.name: is_s3, S3_SETTINGS.name: is_s3}
    uses = {use for step in submission.steps for use in step.objects if is_read.get(use.name, True)}
    if is_kaggle and KAGGLE.name not in {use.name for use in uses}:
        raise FailedError("no step gets Kaggle's secret, and the source is Kaggle: compile the pipeline anew")
    seen, absent = [], []
    for use in sorted(uses, key=lambda use: (use.kind, use.name)):
        keys = cluster.keys(use.kind, use.name, namespace)
        if keys is not None:
            _check_keys(use, keys)
            seen.append(use.name)
        elif not use.is_optional or use.name in (KAGGLE.name, KFP_S3_KEYS.name):
            raise FailedError(_missing(use, namespace))
        elif use.name != S3_SETTINGS.name or not submission.s3_endpoint:
            absent.append(f"{use.name} is not there: {_WITHOUT.get(use.name, 'it is optional')}")
    found = [f"{', '.join(seen)} in {namespace}"] if seen else []
    return "; ".join(found + absent) or "this run needs none"


def _check_keys(use: ObjectUse, keys: set[str]) -> None:
    lacking = [key for key in use.keys if key not in keys]
    if lacking and not (use.name in _ANY_KEY and len(lacking) < len(use.keys)):
        joined = " or " if use.name in _ANY_KEY else " and "
        raise FailedError(f"the {use.kind} {use.name} lacks {joined.join(lacking)}")


def _missing(use: ObjectUse, namespace: str) -> str:
    kind = {"Secret": "secret generic", "ConfigMap": "configmap"}[use.kind]
    keys = use.keys[:1] if use.name == KAGGLE.name else use.keys
    literals = "".join(f" --from-literal={key}=..." for key in keys)
    return (
        f"there is no {use.kind} {use.name} in the namespace {namespace}. "
        f"`kubectl -n {namespace} create {kind} {use.name}{literals}` (docs/cluster.md)"
    )
