"""Whether a namespace has the Secrets and ConfigMaps that the pods get. Secrets are never read."""

from pipeline.cluster_objects import KAGGLE, KFP_S3_KEYS, S3_KEYS, S3_PUSH_KEYS, S3_SETTINGS
from pipeline.preflight.finding import FailedError
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.submission import ObjectUse, Submission

# Without these, a run fails, although its pods start. `_WITHOUT` says what happens without other optional ones.
_NEEDED = (KAGGLE.name, KFP_S3_KEYS.name, S3_PUSH_KEYS.name)
_WITHOUT = {
    S3_KEYS.name: "pods use web identity or the credentials of their node for s3://",
    S3_SETTINGS.name: "s3:// is Amazon's, in the region of the pods",
}


def check_objects(submission: Submission, cluster: Cluster, namespace: str) -> str:
    """Looks for the Secrets and ConfigMaps that a run with these arguments reads, and for the ConfigMaps' keys.

    Raises:
        FailedError: If one that is needed is missing, or a ConfigMap has too few keys.
        NotCheckedError: If the cluster cannot be asked.
    """
    values = [str(value) for value in submission.values.values()]
    is_kaggle, is_s3 = (any(value.startswith(scheme) for value in values) for scheme in ("kaggle:", ("s3://", "dir:s3://")))
    is_read = {KAGGLE.name: is_kaggle} | dict.fromkeys(
        (one.name for one in (S3_KEYS, S3_PUSH_KEYS, KFP_S3_KEYS, S3_SETTINGS)), is_s3
    )
    uses = {use for step in submission.steps for use in step.objects if is_read.get(use.name, True)}
    if is_kaggle and KAGGLE.name not in {use.name for use in uses}:
        raise FailedError("no step gets Kaggle's secret, and the source is Kaggle: compile the pipeline again")
    seen, absent = [], []
    for use in sorted(uses, key=lambda use: (use.kind, use.name)):
        settings = cluster.config_map(use.name, namespace) if use.kind == "ConfigMap" else None
        if settings is not None:
            _check_keys(use, settings)
        if settings is not None or (use.kind == "Secret" and cluster.has_secret(use.name, namespace)):
            seen.append(use.name)
        elif not use.is_optional or use.name in _NEEDED:
            raise FailedError(_missing(use, namespace))
        elif use.name != S3_SETTINGS.name or not submission.s3_endpoint:
            absent.append(f"{use.name} does not exist: {_WITHOUT.get(use.name, 'it is optional')}")
    found = [f"{', '.join(seen)} in {namespace}"] if seen else []
    return "; ".join(found + absent) or "this run needs none"


def _check_keys(use: ObjectUse, settings: dict[str, str]) -> None:
    lacking = [key for key in use.keys if key not in settings]
    is_any_enough = use.name == S3_SETTINGS.name
    if lacking and not (is_any_enough and len(lacking) < len(use.keys)):
        raise FailedError(f"the ConfigMap {use.name} lacks {(' or ' if is_any_enough else ' and ').join(lacking)}")


def _missing(use: ObjectUse, namespace: str) -> str:
    kind = {"Secret": "secret generic", "ConfigMap": "configmap"}[use.kind]
    keys = use.keys[:1] if use.name == KAGGLE.name else use.keys
    literals = "".join(f" --from-literal={key}=..." for key in keys)
    return (
        f"there is no {use.kind} {use.name} in the namespace {namespace}. "
        f"`kubectl -n {namespace} create {kind} {use.name}{literals}` (docs/cluster.md)"
    )
