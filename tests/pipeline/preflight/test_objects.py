"""The check of Secrets and ConfigMaps, with the Kubernetes client and a server that answers like its API."""

from dataclasses import replace

import pytest
import yaml

from pipeline.compiled import compile_pipeline
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.objects import check_objects
from pipeline.preflight.submission import Submission
from tests.pipeline.conftest import SECRETS_PATH, MakeSubmission, config_map, secrets
from tests.pipeline.preflight.loopback import Answer, Loopback

NAMESPACE_PATH = "/api/v1/namespaces/kubeflow"
SETTINGS_PATH = f"{NAMESPACE_PATH}/configmaps/hpa-pipeline-s3"
S3 = {"data_root": "s3://cells/hpa"}
PUSH_POD = list(yaml.safe_load_all(compile_pipeline(push_has_keys=True)))[1]["platforms"]["kubernetes"]["deploymentSpec"][
    "executors"
]["exec-push"]


def _with(submission: Submission, values: dict[str, str]) -> Submission:
    return replace(submission, values=submission.values | values)


def test_the_secret_is_found_without_reading_it(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[SECRETS_PATH] = secrets("kaggle")
    assert check_objects(make_submission("source=kaggle:cells"), cluster, "kubeflow") == "kaggle in kubeflow"
    assert [request.path for request in loopback.requests] == [SECRETS_PATH]  # without s3://, nothing else is looked at


def test_kaggle_needs_the_secret_and_other_sources_do_not(make_submission: MakeSubmission, cluster: Cluster) -> None:
    words = (
        "no Secret kaggle in the namespace kubeflow. `kubectl -n kubeflow create secret generic kaggle --from-literal=KAGGLE_"
    )
    with pytest.raises(FailedError, match=words):
        check_objects(make_submission("source=kaggle:cells"), cluster, "kubeflow")
    assert check_objects(make_submission("source=synthetic:40"), cluster, "kubeflow") == "this run needs none"


def test_a_pipeline_without_kaggles_secret_is_reported(make_submission: MakeSubmission, cluster: Cluster) -> None:
    with pytest.raises(FailedError, match="no step gets Kaggle's secret"):
        check_objects(make_submission("source=kaggle:cells", pods={"ingest": {"secretAsVolume": []}}), cluster, "kubeflow")


def test_an_object_that_is_not_optional_must_exist(
    make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback
) -> None:
    variable = {"configMapName": "names", "keyToEnv": [{"configMapKey": "one", "envVar": "ONE"}]}
    submission = make_submission(pods={"push": {"configMapAsEnv": [variable]}})
    with pytest.raises(
        FailedError, match=r"no ConfigMap names in .*`kubectl -n kubeflow create configmap names --from-literal=one"
    ):
        check_objects(submission, cluster, "kubeflow")
    loopback.answers[f"{NAMESPACE_PATH}/configmaps/names"] = config_map(two="2")
    with pytest.raises(FailedError, match="the ConfigMap names lacks one"):
        check_objects(submission, cluster, "kubeflow")


def test_s3_keys_and_settings_are_found(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[SECRETS_PATH] = secrets("hpa-pipeline-s3-keys")
    loopback.answers[SETTINGS_PATH] = config_map(AWS_ENDPOINT_URL_S3="https://s3.example.com")
    said = check_objects(_with(make_submission(), S3), cluster, "kubeflow")
    assert said == "hpa-pipeline-s3, hpa-pipeline-s3-keys in kubeflow"


@pytest.mark.parametrize("values", [S3, {"source": "dir:s3://cells/images"}, {"weights": "s3://cells/my.h5"}])
def test_without_keys_the_credentials_in_use_are_named(
    make_submission: MakeSubmission, cluster: Cluster, values: dict[str, str]
) -> None:
    said = check_objects(_with(make_submission(), values), cluster, "kubeflow")
    assert "hpa-pipeline-s3-keys does not exist: pods use web identity or the credentials of their node for s3://" in said
    assert "hpa-pipeline-s3 does not exist: s3:// is Amazon's, in the region of the pods" in said
    said = check_objects(_with(make_submission(s3_endpoint="https://s3.example.com"), values), cluster, "kubeflow")
    assert "hpa-pipeline-s3-keys does not exist" in said
    assert "Amazon's" not in said


def test_kubeflows_own_store_needs_its_keys(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    submission = _with(make_submission(s3_endpoint="http://seaweedfs.kubeflow:9000"), S3)
    with pytest.raises(FailedError, match="no Secret mlpipeline-minio-artifact in the namespace kubeflow"):
        check_objects(submission, cluster, "kubeflow")
    loopback.answers[SECRETS_PATH] = secrets("mlpipeline-minio-artifact")
    assert check_objects(submission, cluster, "kubeflow") == "mlpipeline-minio-artifact in kubeflow"


def test_pushs_separate_keys_must_exist(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    (volume,) = (one for one in PUSH_POD["secretAsVolume"] if one["secretName"] == "hpa-pipeline-s3-push-keys")
    submission = _with(make_submission(pods={"push": {"secretAsVolume": [volume]}}), S3)
    loopback.answers[SECRETS_PATH] = secrets("hpa-pipeline-s3-keys")
    with pytest.raises(FailedError, match="no Secret hpa-pipeline-s3-push-keys in the namespace kubeflow"):
        check_objects(submission, cluster, "kubeflow")
    loopback.answers[SECRETS_PATH] = secrets("hpa-pipeline-s3-keys", "hpa-pipeline-s3-push-keys")
    assert "hpa-pipeline-s3-keys, hpa-pipeline-s3-push-keys in kubeflow" in check_objects(submission, cluster, "kubeflow")


def test_missing_rights_are_reported(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[SECRETS_PATH] = Answer(403)
    with pytest.raises(
        NotCheckedError, match="you may not create Secrets in the namespace kubeflow, even as a dry run, on cells-cluster"
    ):
        check_objects(make_submission("source=kaggle:cells"), cluster, "kubeflow")
