import json
import re
from pathlib import Path

import pytest

from pipeline.cluster import version_name
from pipeline.compiled import PIPELINE_YAML, compile_pipeline
from pipeline.releases import Release
from tests.pipeline.commands.conftest import PLACES, VALUES, Ask, only
from tests.pipeline.kfp_server import KfpServer


def test_a_run_gets_its_version_and_its_parameters(server: KfpServer, ask: Ask) -> None:
    done = ask(
        "submit", *PLACES, "epochs=3", 'gpu_node_selector={"pool": "gpu"}', "--name", "first", "--service-account", "hpa"
    )
    assert done.exit_code == 0, done.output
    run, version = only(server.runs), only(server.versions)
    assert run["runtime_config"]["parameters"] == VALUES | {"epochs": 3, "gpu_node_selector": {"pool": "gpu"}}
    assert (run["display_name"], run["service_account"]) == ("first", "hpa")
    assert run["experiment_id"] == only(server.experiments)["experiment_id"]
    assert only(server.experiments)["display_name"] == "hpa"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert version["display_name"] == version_name(PIPELINE_YAML.read_text(encoding="utf-8"))
    assert only(server.pipelines)["display_name"] == "hpa-pipeline"
    assert f"Its page: {server.address}/#/runs/details/{run['run_id']}" in done.output
    assert "the nodes must already have them" in done.output


def test_each_version_is_uploaded_once(server: KfpServer, ask: Ask) -> None:
    assert "was uploaded" in ask("submit", *PLACES).output
    assert "already exists" in ask("submit", *PLACES).output
    for tag in ("1", "2", "3"):  # more than one page of the server's lists
        assert "was uploaded" in ask("submit", *PLACES, "--registry", "registry.example.com/hpa", "--tag", tag).output
    assert "already exists" in ask("submit", *PLACES, "--registry", "registry.example.com/hpa", "--tag", "3").output
    assert (len(server.pipelines), len(server.versions), len(server.experiments), len(server.runs)) == (1, 4, 1, 6)
    executors = list(server.versions.values())[-1]["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert executors["exec-train"]["container"]["image"] == "registry.example.com/hpa/train:3"


def test_waiting_shows_the_steps_and_fails_with_the_run(server: KfpServer, ask: Ask) -> None:
    done = ask("submit", *PLACES, "--wait")
    assert done.exit_code == 0, done.output
    assert re.search(r"evaluate: succeeded\n +push: succeeded\nThe run is over: succeeded, after 6 min 25 s\.", done.output)
    server.run_state = "FAILED"
    failed = ask("submit", *PLACES, "--wait")
    assert failed.exit_code == 1
    assert re.search(
        r"train: failed\nThe run is over: failed, after 7 min 34 s\.\nThe log of train cannot be read", failed.output
    )
    assert failed.stderr.strip() == "train failed."
    server.run_state = "CANCELED"
    assert ask("submit", *PLACES, "--wait").exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*PLACES, "epoch=3"), "there is no parameter epoch. Did you mean epochs?"),
        (PLACES[:1], "required: data_root=..., serving_root=..."),
        ((*PLACES[:2], "serving_root=models"), "serving_root: expected gs://"),
        (("source=dir:images", *PLACES[1:]), "source: expected gs://... or s3://..., as each step runs in its own pod"),
        ((*PLACES, "weights=my.h5"), "weights: expected gs://"),
        (("source=dir:gs://bucket/images", *PLACES[1:], "classes=my.csv"), "classes: expected gs://"),
        (("source=dir:gs://bucket/images", *PLACES[1:], "labels=/my.xlsx"), "labels: expected gs://"),
        ((*PLACES, "--registry", "https://x"), "registry: expected a host and a path"),
        ((*PLACES, "--file", "Makefile"), "Makefile: expected a compiled pipeline"),
        (
            (*PLACES, "--file", "none.yaml"),
            "there is none at none.yaml: `python -m pipeline compile --output none.yaml` writes it",
        ),
        ((*PLACES, "--digests", "none.txt"), "none.txt: `make push-images REGISTRY=... > none.txt` writes it"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_sent(
    server: KfpServer, ask: Ask, words: tuple[str, ...], message: str
) -> None:
    for command in (("submit",), ("schedule", "create", "--every", "7d")):
        refused = ask(*command, *words)
        assert refused.exit_code == 1
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert not server.pipelines
    assert not server.experiments


def test_file_names_another_compiled_pipeline(server: KfpServer, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(PIPELINE_YAML.read_text(encoding="utf-8").replace("hpa-pipeline/", "registry.example.com/hpa/"))
    done = ask("submit", *PLACES, "--file", str(path))
    assert done.exit_code == 0, done.output
    assert "the nodes must already have them" not in done.output
    assert "registry.example.com/hpa/train" in json.dumps(only(server.versions))


def test_a_forbidden_request_gives_advice(server: KfpServer, ask: Ask) -> None:
    server.forbids = True
    refused = ask("submit", *PLACES)
    assert refused.exit_code == 1
    assert "403, User 'someone' is not authorized. You may not do this: ask for a role" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("submit",), ("schedule", "create", "--every", "7d")])
def test_a_server_that_would_drop_settings_is_refused_before_anything_is_sent(
    server: KfpServer, ask: Ask, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "newest.yaml"
    path.write_text(compile_pipeline(Release.NEWEST))
    server.release = "2.16.0"
    refused = ask(*command, *PLACES, "--file", path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{server.address} is Kubeflow Pipelines 2.16.0, and the pipeline needs 2.17 or newer")
    assert "Run `python -m pipeline compile --output cluster.yaml`" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not server.pipelines
    assert ask(*command, *PLACES).exit_code == 0  # the committed file
    server.release = "2.17.0"
    assert ask(*command, *PLACES, "--file", path, *(["--name", "other"] if "create" in command else [])).exit_code == 0


def test_a_server_without_a_release_causes_one_warning(server: KfpServer, ask: Ask) -> None:
    server.release = ""
    done = ask("submit", *PLACES)
    assert done.exit_code == 0, done.output
    assert done.output.count(f"{server.address} does not report its release: the pipeline needs Kubeflow Pipelines 2.14") == 1
