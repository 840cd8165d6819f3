"""Whether a namespace has the Secrets and ConfigMaps that the pods get. Values of Secrets are never looked at."""

from pipeline.cluster_objects import KAGGLE, KFP_S3_KEYS, S3_KEYS, S3_SETTINGS
from pipeline.preflight.finding import FailedError
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.submission import ObjectUse, Submission

_S3_OBJECTS = (S3_KEYS.name, S3_SETTINGS.name, KFP_S3_KEYS.name)
# What a run does without an optional object.
_WITHOUT = {
    KAGGLE.name: "this source needs none",
    S3_KEYS.name: "pods use web identity or the credentials of their node for s3://",
    S3_SETTINGS.name: "s3:// is Amazon's, in the region of the pods",
}


def check_objects(submission: Submission, cluster: Cluster, namespace: str) -> str:
    """Looks for the Secrets and ConfigMaps, and for the keys that a run with these arguments needs.

    Raises:
        FailedError: If one is missing, or has too few keys.
        CouldNotLookError: If the cluster does not tell.
    """
    uses = sorted({use for step in submission.steps for use in step.objects}, key=lambda use: (use.kind, use.name))
    values = [str(value) for value in submission.values.values()]
    is_kaggle, is_s3 = (any(value.startswith(scheme) for value in values) for scheme in ("kaggle:", ("s3://", "dir:s3://")))
    if is_kaggle and KAGGLE.name not in [use.name for use in uses]:
        raise FailedError("no step gets Kaggle's secret, and the source is Kaggle: compile the pipeline anew")
    seen, absent = [], []
    for use in uses:
        if use.name in _S3_OBJECTS and not is_s3:
            continue
        is_needed = not use.is_optional or use.name == KFP_S3_KEYS.name or (use.name == KAGGLE.name and is_kaggle)
        keys = cluster.keys(use.kind, use.name, namespace)
        if keys is None and is_needed:
            raise FailedError(_missing(use, namespace))
        if keys is None:
            if not (use.name == S3_SETTINGS.name and submission.s3_endpoint):
                absent.append(f"{use.name} is not there: {_WITHOUT.get(use.name, 'it is optional')}")
            continue
        _check_keys(use, keys, is_needed)
        seen.append(use.name)
    found = [f"{', '.join(seen)} in {namespace}"] if seen else []
    return "; ".join(found + absent) or "no step needs one"


def _check_keys(use: ObjectUse, keys: set[str], is_needed: bool) -> None:
    lacking = [key for key in use.keys if key not in keys]
    if use.name == KAGGLE.name and use.is_optional:
        is_enough = len(lacking) < len(use.keys) or not is_needed
    else:
        is_enough = not lacking or use.name == S3_SETTINGS.name
    if not is_enough:
        raise FailedError(f"the {use.kind} {use.name} lacks {' and '.join(lacking)}")


def _missing(use: ObjectUse, namespace: str) -> str:
    kind = {"Secret": "secret generic", "ConfigMap": "configmap"}[use.kind]
    keys = use.keys[:1] if use.name == KAGGLE.name else use.keys
    literals = "".join(f" --from-literal={key}=..." for key in keys)
    return (
        f"there is no {use.kind} {use.name} in the namespace {namespace}. "
        f"`kubectl -n {namespace} create {kind} {use.name}{literals}` (docs/cluster.md)"
    )
