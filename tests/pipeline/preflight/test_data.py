"""The checks of data locations."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from components import storage
from components.ingest.archive import retry
from components.runtime.background import begin
from components.storage import s3_requests, s3_writes
from pipeline.preflight.data import (
    SourceSize,
    check_data_fits,
    check_places,
    check_source,
    check_weights,
    measure_source,
    survey_source,
    write_probes,
)
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Cluster, Node
from tests.components.ingest.competition import signed_in
from tests.components.ingest.kaggle_server import COMPETITION, Answer, KaggleServer
from tests.components.ingest.zip_files import make_zip
from tests.conftest import use_s3
from tests.object_stores import Faults, answer, ignore_conditions
from tests.pipeline.conftest import NODES_PATH, MakeSubmission, gpu_node, node, nodes
from tests.pipeline.preflight.loopback import Loopback

LONG_S = 300.0
CLUSTER = ("data_root=gs://cells/x", "image_size_px=299")


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with signed_in(tmp_path / "archive.zip", monkeypatch) as server:
        server.archive.write_bytes(make_zip([("train.csv", b"Id,Target\na,0\n"), ("train/a_green.png", b"png")]))
        yield server


def _size(num_samples: int | None) -> "Future[SourceSize]":
    future: Future[SourceSize] = Future()
    future.set_result(SourceSize(num_samples, None))
    return future


def test_a_bucket_is_written_to_and_cleared_again(make_submission: MakeSubmission, bucket_root: str) -> None:
    submission = make_submission(f"data_root={bucket_root}/data", f"serving_root={bucket_root}/models")
    said = check_places(submission, LONG_S)
    assert said.startswith(f"{bucket_root}/data, {bucket_root}/models: a test object was written and removed with this")
    assert "the run uses the cluster's service account" in said
    assert storage.list_tree(bucket_root) == []


def test_a_missing_bucket_fails(make_submission: MakeSubmission, bucket_root: str) -> None:
    missing = f"{bucket_root.partition(':')[0]}://none-of-this-name"
    submission = make_submission(f"data_root={missing}/data", f"serving_root={bucket_root}/models")
    with pytest.raises(FailedError, match=rf"no bucket {missing}.*\(tried with this machine's credentials"):
        check_places(submission, LONG_S)


def test_a_folder_on_no_volume_fails(make_submission: MakeSubmission) -> None:
    with pytest.raises(
        FailedError, match=r"data_root=/data/hpa is a path, .* mounts no shared volume there in .*train.*Give a gs://"
    ):
        check_places(make_submission("data_root=/data/hpa", "serving_root=gs://cells/x"), LONG_S)
    with pytest.raises(FailedError, match="source=/images is a path"):
        survey_source(make_submission("source=dir:/images"), LONG_S)


def test_a_folder_on_a_volume_cannot_be_seen_from_here(make_submission: MakeSubmission) -> None:
    steps = [step.name for step in make_submission().steps]
    pods = {step: {"pvcMount": [{"constant": "cells", "mountPath": "/data"}]} for step in steps}
    submission = make_submission("source=dir:/data/in", "data_root=/data/hpa", "serving_root=/data/models", pods=pods)
    with pytest.raises(NotCheckedError, match="cannot be seen from here"):
        check_places(submission, LONG_S)
    with pytest.raises(NotCheckedError, match="dir:/data/in is a folder of the cluster, which cannot be seen from here"):
        survey_source(submission, LONG_S)


def test_weights_that_the_pod_downloads_cannot_be_seen_from_here(make_submission: MakeSubmission) -> None:
    with pytest.raises(NotCheckedError, match=r"downloaded in train's pod, .* give weights=gs://"):
        check_weights(make_submission())
    for weights in ("none", "gs://cells/start.h5"):
        assert check_weights(make_submission(f"weights={weights}")) == f"weights={weights}: not downloaded from Keras"


@pytest.mark.parametrize(
    ("file", "step"),
    [("weights=/data/start.h5", "train"), ("classes=/data/classes.csv", "ingest"), ("labels=/data/train.xlsx", "ingest")],
)
def test_a_file_outside_the_volumes_of_its_step_fails(make_submission: MakeSubmission, file: str, step: str) -> None:
    places = "data_root=gs://cells/x", "serving_root=gs://cells/x"
    with pytest.raises(FailedError, match=f"{file} is a path, .* mounts no shared volume there in {step}: each pod"):
        check_places(make_submission(*places, file), LONG_S)
    pods = {step: {"pvcMount": [{"constant": "cells", "mountPath": "/data"}]}}
    with pytest.raises(NotCheckedError, match="are not given"):
        check_places(make_submission(file, "weights=imagenet" if step == "ingest" else "classes=", pods=pods), LONG_S)


def test_samples_of_a_folder_are_counted_with_the_given_columns(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("Field,Found\na,1\n")
    (tmp_path / "a_green.png").write_bytes(b"png")
    layout = {"labels": "scores.csv", "id_column": "Field", "label_column": "Found"}
    assert measure_source(f"dir:{tmp_path}", **layout) == SourceSize(1, 3)
    with pytest.raises(FailedError, match=r"There is scores\.csv: if it has the labels, give labels=scores\.csv"):
        measure_source(f"dir:{tmp_path}")


def test_missing_parameters_are_not_checked(make_submission: MakeSubmission) -> None:
    with pytest.raises(NotCheckedError, match="data_root and serving_root are not given"):
        check_places(make_submission(), LONG_S)
    with pytest.raises(NotCheckedError, match="source is not given"):
        survey_source(make_submission(), LONG_S)


def test_a_competition_is_reported_with_its_size(make_submission: MakeSubmission, kaggle: KaggleServer) -> None:
    submission = make_submission(f"source=kaggle:{COMPETITION}")
    said = check_source(submission, begin(lambda: survey_source(submission, LONG_S)))
    num_bytes = kaggle.archive.stat().st_size
    assert said.startswith(f"kaggle:{COMPETITION}: 1 sample, {num_bytes} bytes (checked with this machine's credentials")
    assert "the run uses the secret on the cluster" in said

    kaggle.rules_accepted = False
    with pytest.raises(FailedError, match=r"accept the competition's rules at .*the secret on the cluster") as failed:
        survey_source(submission, LONG_S)
    assert not [secret for secret in kaggle.secrets if secret in str(failed.value)]


@pytest.mark.xdist_group("kaggle")
def test_a_source_without_credentials_or_answer_could_not_be_checked(
    kaggle: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(retry, "LONGEST_WAIT_S", 0.01)
    kaggle.api_answers.extend([Answer(503)] * retry.TRIES)
    with pytest.raises(NotCheckedError, match="Kaggle cannot provide the files"):
        measure_source(f"kaggle:{COMPETITION}")
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    with pytest.raises(NotCheckedError, match="There are no credentials for Kaggle"):
        measure_source(f"kaggle:{COMPETITION}")


@pytest.mark.parametrize("source", ["cells", "dir:none-of-this-name", "synthetic:1"])
def test_a_source_that_ingest_would_refuse_fails(source: str) -> None:
    with pytest.raises(FailedError, match="expected"):
        measure_source(source)


@pytest.mark.object_store
@pytest.mark.parametrize("position", [0, 1])
def test_a_location_that_cannot_be_written_or_cleared_fails(remote_root: str, faults: Faults, position: int) -> None:
    faults.planned = [lambda _: False] * position + [answer(403)] * 2
    with pytest.raises(FailedError, match=r"access denied\. Give the account that runs this step"):
        write_probes([remote_root])


def test_without_google_credentials_a_bucket_could_not_be_checked(
    make_submission: MakeSubmission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    for name, value in {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotCheckedError, match=r"^gs://cells/x/preflight-.* there are no Google Cloud credentials"):
        check_places(make_submission("data_root=gs://cells/x"), LONG_S)


def test_without_s3_credentials_a_bucket_could_not_be_checked(
    make_submission: MakeSubmission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, "http://127.0.0.1:9", keys=False)
    with pytest.raises(NotCheckedError, match=r"^s3://cells/x/preflight-.* there are no S3 credentials"):
        check_places(make_submission("data_root=s3://cells/x"), LONG_S)


def test_an_endpoint_without_an_answer_could_not_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(s3_requests, "FIRST_ANSWER_S", 0.5)
    with pytest.raises(NotCheckedError, match=r"Could not connect to the endpoint URL: .*Check AWS_ENDPOINT_URL_S3"):
        write_probes(["s3://cells/x"])


@pytest.mark.object_store
def test_a_store_that_ignores_conditions_fails(s3_root: str, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_writes, "_trusted", set())
    faults.planned = [ignore_conditions("If-None-Match", methods=["PUT"])] * 100
    with pytest.raises(FailedError, match="does not honour conditional writes"):
        write_probes([s3_root])


def test_a_source_that_times_out_could_not_be_checked(make_submission: MakeSubmission) -> None:
    with pytest.raises(NotCheckedError, match=r"^no answer within 0\.01 s"):
        survey_source(make_submission("source=synthetic:40"), 0.01)


def test_examples_that_fit_are_reported_with_an_estimate(
    make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback
) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"), gpu_node())
    limits = {"emptyDirMounts": [{"volumeName": "temporary", "mountPath": "/tmp", "sizeLimit": "30Gi"}]}
    submission = make_submission(*CLUSTER, pods={"train": limits, "evaluate": limits})
    said = check_data_fits(submission, _size(31072), cluster.nodes)
    assert said.startswith("31,072 samples of 299 px in 3 channels are 8.3 GB of examples: they fit on the disks of ")
    assert "30Gi at most in train" in said


@pytest.mark.parametrize(("stains", "estimate"), [("DNA,protein", "2 channels are 5.6 GB"), ("DNA", "1 channel are 2.8 GB")])
def test_the_estimate_counts_named_stains(make_submission: MakeSubmission, stains: str, estimate: str) -> None:
    with pytest.raises(NotCheckedError, match=rf"^31,072 samples of 299 px in {re.escape(estimate)} of examples"):
        check_data_fits(make_submission(f"channels={stains}"), _size(31072), lambda: [])


def test_a_temporary_folder_that_is_too_small_fails(make_submission: MakeSubmission, cluster: Cluster) -> None:
    pods = {"train": {"emptyDirMounts": [{"volumeName": "temporary", "mountPath": "/tmp", "sizeLimit": "8Gi"}]}}
    submission = make_submission(*CLUSTER, "channels=rgby", pods=pods)
    with pytest.raises(FailedError, match=r"are 11\.1 GB of examples, and train's /tmp may hold 8Gi: raise it in"):
        check_data_fits(submission, _size(31072), cluster.nodes)


def test_a_nodes_disk_that_is_too_small_fails(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"), gpu_node(ephemeral_storage="5G"))
    with pytest.raises(FailedError, match=r"train copies them to its node's disk, which has 5\.0 GB for pods\. Give the pool"):
        check_data_fits(make_submission(*CLUSTER), _size(31072), cluster.nodes)


def test_an_unknown_size_is_reported(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    submission = make_submission(*CLUSTER)
    with pytest.raises(NotCheckedError, match="not known before ingest has read the source"):
        check_data_fits(submission, _size(None), cluster.nodes)
    failed: Future[SourceSize] = Future()
    failed.set_exception(FailedError("there is no such competition"))
    with pytest.raises(NotCheckedError, match="the size of the source is not known: see above"):
        check_data_fits(submission, failed, cluster.nodes)
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"))
    with pytest.raises(NotCheckedError, match=r"are 8\.3 GB of examples\. There is currently no node whose disk train"):
        check_data_fits(submission, _size(31072), cluster.nodes)


def test_the_estimate_is_reported_without_a_cluster(make_submission: MakeSubmission) -> None:
    def look_away() -> list[Node]:
        raise NotCheckedError("it is dark")

    with pytest.raises(NotCheckedError, match=r"are 8\.3 GB of examples; but it is dark"):
        check_data_fits(make_submission(*CLUSTER), _size(31072), look_away)
