from pathlib import Path

import pytest

from pipeline.compiled import compile_pipeline, load_steps
from pipeline.container_images import read_digests, with_images
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


def test_invalid_images_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    output = tmp_path / "cluster.yaml"
    refused = invoke("compile", "--registry", "https://gcr.io/x", "--output", output)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("registry: expected a host and a path")
    missing = invoke("compile", "--digests", tmp_path / "none.txt", "--output", output)
    assert missing.exit_code == 1
    assert missing.stderr.startswith(f"--digests: expected a file. There is none at {tmp_path}/none.txt: `make push-images ")
    assert not output.exists()
