import json
import re
from collections.abc import Iterator

import grimp
import pytest

from pipeline.compiled import ROOT, load_steps

IMAGES = [*load_steps(), "serve"]


def _dockerfile(step: str) -> str:
    return (ROOT / "containers" / step / "Dockerfile").read_text(encoding="utf-8")


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE))


def _lines(step: str) -> list[str]:
    """A Dockerfile's lines without the intended differences: the code that the step imports, and its name."""
    text = re.sub(r"COPY components/\w+ .*\n", "", _dockerfile(step))
    text = text.replace("train-${TENSORFLOW}", "train").replace("FROM ${BASE} AS step", "FROM ${BASE}")
    text = text.replace("TF_CPP_MIN_LOG_LEVEL=2 ", "")
    return [line.removesuffix(" \\") for line in re.sub(rf"\b{step}\b", "<step>", text).splitlines()]


@pytest.mark.parametrize("step", load_steps())
def test_the_dockerfiles_are_alike_except_for_what_a_step_adds(step: str) -> None:
    lines: Iterator[str] = iter(_lines(step))
    missing = [line for line in _lines("push") if line not in lines]  # consumes the iterator, so the order counts too
    assert not missing


def test_ingest_and_push_add_nothing() -> None:
    assert _lines("ingest") == _lines("push")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_the_packages_that_its_code_imports(image: str) -> None:
    copied = set(re.findall(r"COPY components/(\w+) ", _dockerfile(image)))
    package = "serving" if image == "serve" else image
    imported = grimp.build_graph("components", cache_dir=None).find_upstream_modules(f"components.{package}", as_package=True)
    assert copied == {package} | {module.split(".")[1] for module in imported if module != "components"}


@pytest.mark.parametrize("image", [*IMAGES, "run"])
def test_the_base_image_is_a_build_argument_and_no_syntax_image_is_pulled(image: str) -> None:
    text = _dockerfile(image)
    release = json.loads((ROOT / "containers" / "release.json").read_text(encoding="utf-8"))
    assert f"\nARG BASE={release['base']}\n" in text
    assert re.fullmatch("sha256:[0-9a-f]{64}", release["digest"])
    assert "# syntax" not in text


@pytest.mark.parametrize("step", load_steps())
def test_only_beams_worker_has_an_entrypoint(step: str) -> None:
    """KFP's local runner would put it before the step's command, whereas Kubernetes would replace it."""
    instructions = [line for line in _dockerfile(step).splitlines() if line.startswith(("ENTRYPOINT", "CMD"))]
    assert instructions == (['ENTRYPOINT ["/opt/apache/beam/boot"]'] if step == "convert" else [])


def test_the_boot_program_of_the_worker_has_the_installed_version_of_beam() -> None:
    assert f"ARG BEAM_SDK=apache/beam_python3.11_sdk:{_pins('convert')['apache-beam']}\n" in _dockerfile("convert")


@pytest.mark.parametrize(
    ("name", "wanted", "unwanted"),
    [
        ("ingest", ["kagglesdk", "python-calamine"], ["tensorflow", "tensorflow-cpu", "apache-beam"]),
        ("push", ["google-cloud-storage"], ["tensorflow", "tensorflow-cpu", "apache-beam", "pillow", "python-calamine"]),
        ("train-cpu", ["tensorflow-cpu"], ["nvidia-cudnn-cu12", "apache-beam", "tensorflow-transform", "python-calamine"]),
        ("train-gpu", ["tensorflow", "nvidia-cudnn-cu12"], ["tensorflow-cpu", "apache-beam", "tensorflow-transform"]),
        ("evaluate", ["tensorflow-cpu"], ["nvidia-cudnn-cu12", "apache-beam", "tensorflow-transform", "python-calamine"]),
        ("serve-cpu", ["tensorflow-cpu", "uvicorn"], ["nvidia-cudnn-cu12", "apache-beam", "kfp", "typer"]),
        ("serve-gpu", ["tensorflow", "nvidia-cudnn-cu12"], ["tensorflow-cpu", "apache-beam", "kfp", "typer"]),
    ],
)
def test_the_requirements_of_an_image_are_only_what_its_step_needs(name: str, wanted: list[str], unwanted: list[str]) -> None:
    packages = _pins(name).keys()
    assert packages >= set(wanted)
    assert not packages & set(unwanted)


@pytest.mark.parametrize("image", ["train", "serve"])
def test_the_two_builds_of_an_image_differ_only_in_tensorflow_and_cuda(image: str) -> None:
    cpu, gpu = _pins(f"{image}-cpu"), _pins(f"{image}-gpu")
    assert cpu.pop("tensorflow-cpu") == gpu["tensorflow"]
    cpu.pop("tensorflow")  # for platforms without a tensorflow-cpu build
    assert {name for name in gpu if not name.startswith("nvidia-")} - {"tensorflow"} == cpu.keys()
    assert all(gpu[name] == version for name, version in cpu.items())
