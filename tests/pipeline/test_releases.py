"""Checks which releases of Kubeflow Pipelines understand a compiled pipeline, using each release's published definitions."""

import functools
import importlib.metadata
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, compile_pipeline
from pipeline.releases import _FIRST_KNOWN_IN, Release, read_needs

# The first and last patch release of each minor release, at the time of writing.
PUBLISHED = ("2.14.0", "2.14.6", "2.15.0", "2.15.2", "2.16.0", "2.16.1", "2.17.0", "2.17.3")
# Parses the documents like the server and its driver, in an environment with only a release's definitions. An unknown field is
# an error here, whereas the driver drops it.
PROGRAM = """
import importlib.util, json, sys
folder = sys.argv[1]
sys.path.insert(0, folder)
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
source = importlib.util.spec_from_file_location("pods", f"{folder}/kfp/kubernetes/kubernetes_executor_config_pb2.py")
pods = importlib.util.module_from_spec(source)
source.loader.exec_module(pods)

def read(document, message):
    return json_format.MessageToDict(json_format.ParseDict(document, message))

def fields(messages):
    for message in messages:
        yield from (f"{message.name}.{field.json_name}" for field in message.fields)
        yield from fields(message.nested_types)

spec, platform = json.load(sys.stdin)
problem = None
try:
    kept = [read(spec, pipeline_spec_pb2.PipelineSpec()), read(platform, pipeline_spec_pb2.PlatformSpec())]
    executors = kept[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors.update({name: read(pod, pods.KubernetesExecutorConfig()) for name, pod in executors.items()})
except json_format.ParseError as error:
    kept, problem = None, str(error)
platform_messages = [*pods.DESCRIPTOR.message_types_by_name.values(), pipeline_spec_pb2.PipelineConfig.DESCRIPTOR]
print(json.dumps({"kept": kept, "problem": problem, "fields": sorted(set(fields(platform_messages)))}))
"""


class Definitions:
    """The published definitions of each release, installed on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @functools.cache  # noqa: B019 (lives as long as the tests of this module)
    def install(self, release: str) -> Path:
        folder = self._folder / release
        runtime = [f"{name}=={importlib.metadata.version(name)}" for name in ("protobuf", "googleapis-common-protos")]
        published = [f"kfp-pipeline-spec=={release}", f"kfp-kubernetes=={release}"]
        install = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        subprocess.run([*install, "--target", folder, *published, *runtime], check=True)
        return folder

    def read(self, release: str, pipeline_yaml: str) -> dict[str, Any]:
        """How a release parses a compiled pipeline: the result `kept` or the `problem`, and the `fields` that it knows."""
        documents = list(yaml.safe_load_all(pipeline_yaml))
        program = [sys.executable, "-I", "-S", "-c", PROGRAM, self.install(release)]
        done = subprocess.run(program, input=json.dumps(documents), capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    return Definitions(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def newest_form() -> str:
    return compile_pipeline(Release.NEWEST, "http://seaweedfs.kubeflow:9000", "us-east-1")


@pytest.mark.slow
@pytest.mark.xdist_group("releases")
@pytest.mark.parametrize("release", PUBLISHED)
def test_every_release_understands_the_whole_committed_file(definitions: Definitions, release: str) -> None:
    text = PIPELINE_YAML.read_text(encoding="utf-8")
    understood = definitions.read(release, text)
    assert understood["problem"] is None
    assert understood["kept"] == list(yaml.safe_load_all(text))


@pytest.mark.slow
@pytest.mark.xdist_group("releases")
@pytest.mark.parametrize("release", PUBLISHED)
def test_only_the_newest_release_understands_the_newest_form(definitions: Definitions, newest_form: str, release: str) -> None:
    understood = definitions.read(release, newest_form)
    if release.startswith(Release.NEWEST):
        assert understood["kept"] == list(yaml.safe_load_all(newest_form))
    else:
        assert "activeDeadlineSeconds" in understood["problem"]


@pytest.mark.slow
@pytest.mark.xdist_group("releases")
def test_the_table_of_new_settings_matches_the_published_definitions(definitions: Definitions) -> None:
    text = PIPELINE_YAML.read_text(encoding="utf-8")
    known = {release: set(definitions.read(release, text)["fields"]) for release in PUBLISHED}
    messages = {field.partition(".")[0] for field in known[PUBLISHED[0]]}
    new: dict[str, tuple[int, int]] = {}
    for before, release in itertools.pairwise(PUBLISHED):
        major, minor, _ = map(int, release.split("."))
        for field in known[release] - known[before]:
            message, _, name = field.partition(".")
            if message in messages:  # all fields of a new message are new
                parent = "" if message == "KubernetesExecutorConfig" else f"{message[0].lower()}{message[1:]}."
                new[f"{parent}{name}"] = (major, minor)
    assert new == _FIRST_KNOWN_IN


def test_the_committed_file_needs_the_oldest_release() -> None:
    needs = read_needs(PIPELINE_YAML.read_text(encoding="utf-8"))
    assert (needs.version, needs.settings) == ((2, 14), ())
    assert needs.check("2.14.0", "https://kfp") == needs.check("v2.18.1", "https://kfp") == ""


def test_an_older_server_is_refused_with_advice(newest_form: str) -> None:
    needs = read_needs(newest_form)
    assert needs.check("2.17.0", "https://kfp") == ""
    words = r"^https://kfp is Kubeflow Pipelines 2\.16\.1, and the pipeline needs 2\.17 or newer for pipelineConfig\.activeDead"
    with pytest.raises(ValueError, match=rf"{words}.*Run `python -m pipeline compile --output cluster\.yaml` \(without --kfp"):
        needs.check("2.16.1", "https://kfp")
    for text in (newest_form, PIPELINE_YAML.read_text(encoding="utf-8")):
        with pytest.raises(ValueError, match=r"https://kfp is Kubeflow Pipelines 2\.5\.0, .* upgrade"):
            read_needs(text).check("2.5.0", "https://kfp")


@pytest.mark.parametrize(
    ("pod", "version"),
    [
        ({"secretAsEnv": [{"secretName": "kaggle", "optional": True}]}, (2, 15)),
        ({"secretAsEnv": [{"secretName": "kaggle", "optional": False}]}, (2, 14)),
        ({"pvcMount": [{"mountPath": "/data", "subPath": "cells"}]}, (2, 16)),
        ({"activeDeadlineSeconds": "900"}, (2, 14)),
    ],
)
def test_the_required_release_includes_settings_added_by_hand(pod: dict[str, Any], version: tuple[int, int]) -> None:
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-train": pod}}}}}
    needs = read_needs(yaml.safe_dump_all([{}, platform]))
    assert needs.version == version
    if needs.settings:
        with pytest.raises(ValueError, match=rf"for {needs.settings[0]}: .* Remove it from pipeline/placement\.py"):
            needs.check("2.14.0", "https://kfp")


@pytest.mark.parametrize("release", ["", "unknown", "dummy"])
def test_a_server_without_a_release_is_a_warning(release: str) -> None:
    needs = read_needs(PIPELINE_YAML.read_text(encoding="utf-8"))
    assert needs.check(release, "https://kfp") == (
        "https://kfp does not report its release: the pipeline needs Kubeflow Pipelines 2.14 or newer."
    )
