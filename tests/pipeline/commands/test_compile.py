from pathlib import Path

import pytest

from components import __version__
from pipeline.compiled import compile_pipeline, load_steps
from pipeline.container_images import read_digests, with_images
from pipeline.releases import Release
from tests.pipeline.commands.conftest import invoke

REGISTRY = "registry.example.com/hpa"


@pytest.fixture
def digests(tmp_path: Path) -> Path:
    path = tmp_path / "digests.txt"
    path.write_text("".join(f"{REGISTRY}/{step}:1.2@sha256:{'0123456789abcdef' * 4}\n" for step in load_steps()))
    return path


def test_check_passes_on_the_committed_pipeline() -> None:
    checked = invoke("compile", "--check")
    assert (checked.exit_code, checked.stdout) == (0, "pipeline.yaml is up to date.\n")


def test_the_written_file_names_the_images(tmp_path: Path, digests: Path) -> None:
    output = tmp_path / "cluster.yaml"
    named = ["--registry", REGISTRY, "--tag", "1.2", "--digests", digests, "--output", output]
    written = invoke("compile", *named)
    assert (written.exit_code, written.stdout) == (0, "cluster.yaml is written.\n")
    assert output.read_text(encoding="utf-8") == with_images(compile_pipeline(), REGISTRY, "1.2", read_digests(digests))
    assert "is up to date" in invoke("compile", *named, "--check").stdout
    stale = invoke("compile", "--tag", "other", "--output", output, "--check")
    assert stale.exit_code == 1
    assert stale.stderr.startswith("cluster.yaml is not what the code compiles to: run `python -m pipeline compile`")


def test_a_release_and_an_s3_store_are_written(tmp_path: Path) -> None:
    output = tmp_path / "cluster.yaml"
    store = ("--s3-endpoint", "https://s3.example.com:9000", "--s3-region", "eu-west-1")
    written = invoke("compile", "--kfp", "2.17", *store, "--output", output)
    assert written.exit_code == 0, written.output
    assert output.read_text(encoding="utf-8") == compile_pipeline(Release.NEWEST, store[1], store[3])


def test_images_without_cuda_are_named_for_a_cluster_without_gpus(tmp_path: Path) -> None:
    output = tmp_path / "cluster.yaml"
    assert invoke("compile", "--cpu", "--output", output).exit_code == 0
    assert output.read_text(encoding="utf-8") == with_images(compile_pipeline(with_gpu=False), tag=f"{__version__}-cpu")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--s3-endpoint", "s3.example.com", "--s3-endpoint: expected a URL such as https://"),
        ("--s3-endpoint", "s3://bucket", "--s3-endpoint: expected a URL"),
        ("--s3-endpoint", "https://key:secret@s3.example.com", "--s3-endpoint: expected a URL"),
        ("--s3-region", "EU West", "--s3-region: expected a region such as eu-west-1. Received: EU West"),
    ],
)
def test_an_invalid_s3_endpoint_is_refused(tmp_path: Path, option: str, value: str, message: str) -> None:
    refused = invoke("compile", option, value, "--output", tmp_path / "cluster.yaml")
    assert refused.exit_code == 1
    assert refused.stderr.startswith(message)
    assert not (tmp_path / "cluster.yaml").exists()


def test_invalid_images_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    output = tmp_path / "cluster.yaml"
    refused = invoke("compile", "--registry", "https://gcr.io/x", "--output", output)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("registry: expected a host and a path")
    missing = invoke("compile", "--digests", tmp_path / "none.txt", "--output", output)
    assert missing.exit_code == 1
    assert missing.stderr.startswith(f"--digests: expected a file, but there is none at {tmp_path}/none.txt: `make push-imag")
    assert not output.exists()
