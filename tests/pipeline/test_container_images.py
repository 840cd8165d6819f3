import re
from pathlib import Path

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, load_steps
from pipeline.container_images import read_digests, with_images

REGISTRY = "registry.example.com/hpa"
DIGEST = "sha256:" + "0123456789abcdef" * 4
COMMITTED = PIPELINE_YAML.read_text(encoding="utf-8")


def _images(pipeline_yaml: str) -> dict[str, str]:
    executors = next(yaml.safe_load_all(pipeline_yaml))["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): executor["container"]["image"] for name, executor in executors.items()}


def _digests(folder: Path, tag: str = "1.2") -> Path:
    path = folder / "digests.txt"
    path.write_text("".join(f"{REGISTRY}/{step}:{tag}@{DIGEST}\n" for step in load_steps()))
    return path


def test_images_are_unchanged_by_default() -> None:
    assert with_images(COMMITTED) == COMMITTED


def test_registry_and_tag_change_every_image_and_nothing_else() -> None:
    renamed = with_images(COMMITTED, registry=REGISTRY, tag="1.2")
    assert _images(renamed) == {step: f"{REGISTRY}/{step}:1.2" for step in load_steps()}
    changed = [line for line, before in zip(renamed.splitlines(), COMMITTED.splitlines(), strict=True) if line != before]
    assert len(changed) == len(load_steps())


def test_registry_and_tag_change_independently() -> None:
    before = _images(COMMITTED)
    assert _images(with_images(COMMITTED, tag="9"))["push"] == before["push"].rpartition(":")[0] + ":9"
    tag = before["push"].rpartition(":")[2]
    assert _images(with_images(COMMITTED, registry="localhost:5000/x"))["push"] == f"localhost:5000/x/push:{tag}"


def test_digests_pin_every_image(tmp_path: Path) -> None:
    pinned = with_images(COMMITTED, REGISTRY, "1.2", read_digests(_digests(tmp_path)))
    assert _images(pinned) == {step: f"{REGISTRY}/{step}:1.2@{DIGEST}" for step in load_steps()}


def test_digests_of_other_images_are_refused(tmp_path: Path) -> None:
    digests = read_digests(_digests(tmp_path, tag="1.1"))
    found = f"expected one for {REGISTRY}/convert:1.2. Received: those of {REGISTRY}/"
    with pytest.raises(ValueError, match=rf"{re.escape(found)}.* Run make push-images REGISTRY={re.escape(REGISTRY)} again"):
        with_images(COMMITTED, REGISTRY, "1.2", digests)


@pytest.mark.parametrize(
    ("pushed", "compiled", "advice"),
    [
        ("1.2-cpu", "1.2", f"Compile with --cpu, or run make push-images REGISTRY={REGISTRY} again"),
        ("1.2", "1.2-cpu", f"Compile without --cpu, or run make push-images CPU=1 REGISTRY={REGISTRY} again"),
        ("1.1-cpu", "1.2-cpu", f"Run make push-images CPU=1 REGISTRY={REGISTRY} again"),
    ],
)
def test_digests_of_images_with_and_without_cuda_are_distinguished(
    tmp_path: Path, pushed: str, compiled: str, advice: str
) -> None:
    digests = read_digests(_digests(tmp_path, tag=pushed))
    with pytest.raises(ValueError, match=re.escape(advice)):
        with_images(COMMITTED, REGISTRY, compiled, digests)


def test_digests_of_a_failed_push_are_refused(tmp_path: Path) -> None:
    path = _digests(tmp_path)
    path.write_text(path.read_text().replace(f"{REGISTRY}/push:1.2@{DIGEST}\n", ""))
    with pytest.raises(ValueError, match=re.escape(f"expected one for {REGISTRY}/push:1.2. Received: those of ")):
        with_images(COMMITTED, REGISTRY, "1.2", read_digests(path))
    path.write_text("")
    with pytest.raises(ValueError, match=r"digests.txt: .* It is empty: run make push-images REGISTRY=\.\.\. > .* again"):
        read_digests(path)


def test_pinned_images_get_new_digests(tmp_path: Path) -> None:
    pinned = with_images(COMMITTED, "old.example.com/x", "1", {f"old.example.com/x/{step}:1": DIGEST for step in load_steps()})
    digest = DIGEST[:-1] + "0"
    digests = dict.fromkeys(read_digests(_digests(tmp_path)), digest)
    anew = with_images(pinned, REGISTRY, "1.2", digests)
    assert _images(anew) == {step: f"{REGISTRY}/{step}:1.2@{digest}" for step in load_steps()}
    assert with_images(pinned) == pinned
    assert with_images(pinned, "old.example.com/x", "1") == pinned


def test_pinned_images_are_not_renamed_without_new_digests(tmp_path: Path) -> None:
    pinned = with_images(COMMITTED, REGISTRY, "1.2", read_digests(_digests(tmp_path)))
    for registry, tag, name in (("", "1.3", f"{REGISTRY}/convert:1.3"), ("example.org/x", "", "example.org/x/convert:1.2")):
        with pytest.raises(ValueError, match=re.escape(f"digests: expected one for {name}, as the compiled pipeline pins")):
            with_images(pinned, registry, tag)


@pytest.mark.parametrize("line", ["", "push", f"{REGISTRY}/push@{DIGEST}", f"{REGISTRY}/push:1.2@sha256:12"])
def test_a_malformed_line_of_digests_is_named(tmp_path: Path, line: str) -> None:
    path = _digests(tmp_path)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected <registry>/<step>:<tag>@sha256:<digest>")):
        read_digests(path)


@pytest.mark.parametrize("registry", ["https://gcr.io/x", "gcr.io/x/", "gcr.io/my project", "gcr.io/X"])
def test_an_invalid_registry_is_refused(registry: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Received: {registry}")):
        with_images(COMMITTED, registry=registry)


@pytest.mark.parametrize("tag", ["a b", "-x", "x" * 129, "a/b"])
def test_an_invalid_tag_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="tag: expected"):
        with_images(COMMITTED, tag=tag)
