"""Runs the steps' images as a cluster would, and the whole pipeline with KFP's DockerRunner."""

import contextlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.models.containers import Container

from pipeline.compiled import PIPELINE_YAML
from pipeline.container_images import with_images
from pipeline.placement import RESOURCES

SPEC = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))
# The images that `make images CPU=1` builds.
TAG = SPEC["deploymentSpec"]["executors"]["exec-push"]["container"]["image"].rpartition(":")[2] + "-cpu"


def image(name: str) -> str:
    """The image of a step, or of the web server."""
    of_push: str = SPEC["deploymentSpec"]["executors"]["exec-push"]["container"]["image"]
    return f"{of_push.rpartition('/')[0]}/{name}:{TAG}"


def user_of(folder: Path) -> str:
    """A non-root user, who gets write access to a folder of the current user."""
    folder.chmod(0o777)
    return f"{os.getuid() or 10001}:{os.getgid() or 10001}"


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline that ran in containers: its folder, its output, and the input of KFP's executor for each step."""

    folder: Path
    said: str
    executor_inputs: dict[str, Any]

    def output(self, step: str, name: str) -> Path:
        """The path of a step's output."""
        (path,) = self.folder.glob(f"*/{step}/{name}")
        return path


def run_pipeline(folder: Path, **arguments: Any) -> PipelineRun:
    """Runs the committed pipeline in its images, with KFP's DockerRunner, without a network."""
    from kfp import components, local  # noqa: PLC0415 (takes seconds, which collecting the tests should not)

    pipeline_yaml = with_images(PIPELINE_YAML.read_text(encoding="utf-8"), tag=TAG)
    arguments = {"data_root": f"{folder}/data", "serving_root": f"{folder}/serving"} | arguments
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KFP's, about settings without effect in a local run
        local.init(
            runner=local.DockerRunner(network_mode="none", user=user_of(folder)),
            pipeline_root=str(folder),
            raise_on_error=False,  # the tests of the outputs report more
        )
        components.load_component_from_text(pipeline_yaml)(**arguments)
    return PipelineRun(folder, said.getvalue(), _executor_inputs(said.getvalue()))


def _executor_inputs(said: str) -> dict[str, Any]:
    """The input that KFP's executor logs at the start of each step."""
    inputs = {}
    for part in said.split("Got executor_input:")[1:]:
        content, _ = json.JSONDecoder().raw_decode(part.lstrip())
        inputs[Path(content["outputs"]["outputFile"]).parent.name] = content
    return inputs


def afresh(run: PipelineRun, step: str, folder: Path, **parameters: Any) -> dict[str, Any]:
    """The input of KFP's executor for repeating a step of a run from scratch.

    Args:
        run: The run with the step's inputs.
        step: The name of the step.
        folder: An empty folder for outputs, data and served models.
        **parameters: Parameters that differ from that run's.
    """
    content = run.executor_inputs[step]
    values = content["inputs"]["parameterValues"]
    roots = {name: f"{folder}/{name}" for name in ("data_root", "serving_root") if name in values}
    outputs = json.loads(json.dumps(content["outputs"]).replace(str(run.folder), f"{folder}/outputs"))
    return {"inputs": content["inputs"] | {"parameterValues": values | roots | parameters}, "outputs": outputs}


@contextlib.contextmanager
def started(
    client: docker.DockerClient, step: str, executor_input: dict[str, Any], run: PipelineRun, folder: Path, **options: Any
) -> Iterator[Container]:
    """Starts a step in a `confined` container, in the memory that pipeline.yaml asks for.

    Args:
        client: A client of the Docker engine.
        step: The name of the step.
        executor_input: The result of `afresh`.
        run: The run with the step's inputs.
        folder: The folder that the step may write to.
        **options: Other options of the container.
    """
    command = SPEC["deploymentSpec"]["executors"][f"exec-{step}"]["container"]["command"]
    words = [json.dumps(executor_input) if word == "{{$}}" else word for word in command]
    memory_bytes = int(RESOURCES[step].memory.removesuffix("G")) * 10**9
    volumes = {
        str(run.folder): {"bind": str(run.folder), "mode": "ro"},
        str(folder): {"bind": str(folder), "mode": "rw"},
    }
    with confined(client, step, words, memory_bytes, volumes, **{"user": user_of(folder)} | options) as container:
        yield container


@contextlib.contextmanager
def confined(
    client: docker.DockerClient, name: str, command: list[str], memory_bytes: int, volumes: dict[str, Any], **options: Any
) -> Iterator[Container]:
    """Starts an image as a strict cluster would, and removes the container at the end.

    The root file system is read-only except for /tmp, all privileges are dropped, and there is no network.

    Args:
        client: A client of the Docker engine.
        name: The name of the step, or `serve`.
        command: The command, or the arguments of the entry point.
        memory_bytes: The memory limit.
        volumes: The volumes, in the format of Docker's client.
        **options: Other options of the container.
    """
    container: Container = client.containers.run(
        image(name),
        command,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=memory_bytes,
        memswap_limit=memory_bytes,
        volumes=volumes,
        **{"network_mode": "none"} | options,
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def wait_until_it_says(container: Container, sign: str) -> None:
    """Waits until a container's log contains a text.

    Raises:
        AssertionError: If the container ends first.
    """
    # Polled, because the client does not close the connection on which it follows a log.
    while sign not in (said := container.logs().decode()):
        container.reload()
        assert container.status == "running", said
        time.sleep(0.1)


def missing_outputs(step: str, find: Callable[[str], Path]) -> list[str]:
    """The declared outputs of a step that are missing, are empty, or have no metadata.

    KFP counts a step that wrote none of its outputs as a success, and sometimes even one that failed.

    Args:
        step: The name of the step.
        find: Returns the path of an output by its name.
    """
    missing = []
    executed = json.loads(find("executor_output.json").read_text(encoding="utf-8"))["artifacts"]
    for name in SPEC["components"][f"comp-{step}"]["outputDefinitions"]["artifacts"]:
        path = find(name)
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        if not sum(file.stat().st_size for file in files) or not executed[name]["artifacts"][0]["metadata"]:
            missing.append(name)
    return missing
