"""Beam's workers in the worker image of convert, in a pool that starts them on demand, as beside Flink's task managers."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from pipeline.compiled import ROOT
from tests.containers.engine import PipelineRun, afresh, image, missing_outputs, started, user_of, wait_until_it_says

pytestmark = pytest.mark.containers

_BOOT = "github.com/apache/beam/sdks/v2/python/container"


@pytest.fixture(scope="module")
def worker_image(images: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The worker image, with Beam's published boot program or, if that cannot be pulled, one compiled from source."""
    built = _build("CPU=1")
    if built.returncode:
        beam_sdk = _compiled_boot(images, tmp_path_factory.mktemp("boot"))
        built = _build("CPU=1", f"BEAM_SDK={beam_sdk}")
    assert built.returncode == 0, built.stdout + built.stderr
    return image("convert").replace("/convert:", "/convert-worker:")


def _build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "worker-image", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def _compiled_boot(client: docker.DockerClient, folder: Path) -> str:
    if shutil.which("go") is None:
        pytest.skip("Beam's SDK image cannot be pulled, and there is no Go to compile its boot program")
    dockerfile = (ROOT / "containers" / "convert" / "Dockerfile").read_text(encoding="utf-8")
    (version,) = re.findall(r"^ARG BEAM_SDK=.*:(.*)$", dockerfile, re.MULTILINE)
    environment = os.environ | {"GOBIN": str(folder), "CGO_ENABLED": "0"}
    subprocess.run(["go", "install", f"{_BOOT}@v{version}"], env=environment, capture_output=True, check=True)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY container /opt/apache/beam/boot\n")
    name = f"beam-boot:{version}"
    client.images.build(path=str(folder), tag=name, rm=True)
    return name


@pytest.fixture
def pool(images: docker.DockerClient, worker_image: str, pipeline_run: PipelineRun, tmp_path: Path) -> Iterator[Container]:
    """A pool of workers with the same restrictions and folders as a step."""
    container = images.containers.run(
        worker_image,
        ["--worker_pool"],
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        network_mode="none",
        hostname="localhost",  # workers find the job here, as it shares this network
        user=user_of(tmp_path),
        volumes={
            str(pipeline_run.folder): {"bind": str(pipeline_run.folder), "mode": "ro"},
            str(tmp_path): {"bind": str(tmp_path), "mode": "rw"},
        },
    )
    try:
        wait_until_it_says(container, "worker pool")
        yield container
    finally:
        container.remove(force=True)


def test_workers_write_the_same_records_as_the_step_alone(
    images: docker.DockerClient, pool: Container, pipeline_run: PipelineRun, tmp_path: Path
) -> None:
    options = "--job_endpoint=embed --environment_type=EXTERNAL --environment_config=localhost:50000"
    executor_input = afresh(pipeline_run, "convert", tmp_path, beam_runner="PortableRunner", beam_options=options)
    network = f"container:{pool.id}"
    with started(images, "convert", executor_input, pipeline_run, tmp_path, network_mode=network) as container:
        exit_code = container.wait(timeout=600)["StatusCode"]  # a job waits forever if all workers fail
        assert exit_code == 0, container.logs().decode() + pool.logs().decode()
        assert "Beam runs on PortableRunner" in container.logs().decode()
    (outputs,) = tmp_path.glob("outputs/*/convert")
    assert not missing_outputs("convert", lambda name: outputs / name)
    assert {path.name: path.read_bytes() for path in (tmp_path / "data_root").rglob("*.tfrecord")} == {
        path.name: path.read_bytes() for path in (pipeline_run.folder / "data" / "examples").rglob("*.tfrecord")
    }
