"""The bill of materials of an image is valid CycloneDX and lists what the locked requirements install on this system."""

import json
import re
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipeline.compiled import ROOT

FILES = {
    "ingest": ["ingest", "executor"],
    "convert": ["convert", "executor"],
    "train": ["train-gpu", "executor"],
    "evaluate": ["evaluate", "executor"],
    "push": ["push", "executor"],
    "serve": ["serve-cpu"],
}


def _bill(image: str) -> str:
    files = [ROOT / "requirements" / f"{name}.txt" for name in FILES[image]]
    return subprocess.check_output([sys.executable, ROOT / "containers" / "sbom.py", image, "1.2.3", *files], text=True)


@pytest.mark.parametrize("image", FILES)
def test_the_sbom_fits_the_schema_and_lists_each_package_for_this_system_once(image: str) -> None:
    bill = _bill(image)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    content = json.loads(bill)
    assert content["metadata"]["component"]["name"] == f"hpa-pipeline/{image}"
    assert content["metadata"]["component"]["version"] == "1.2.3"
    found = [(one["name"], one["version"]) for one in content["components"]]
    text = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in FILES[image])
    unconditional = re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+) \\$", text, re.MULTILINE)
    assert set(unconditional) <= set(found)
    assert len(found) == len(set(found))


def test_packages_for_other_systems_are_left_out() -> None:
    text = (ROOT / "requirements" / "push.txt").read_text()
    assert re.search(r"^colorama==\S+ ; sys_platform == 'win32'", text, re.MULTILINE)
    assert "colorama" not in [one["name"] for one in json.loads(_bill("push"))["components"]]


def test_the_same_requirements_give_the_same_bytes() -> None:
    assert _bill("push") == _bill("push")
