"""What the README says of the pipeline is what pipeline.yaml says."""

import re

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, ROOT, step_tasks
from pipeline.local import STEPS

README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEC = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))


def test_the_picture_shows_the_artifacts_that_go_from_step_to_step() -> None:
    drawn = {
        (source, artifact.strip(), target)
        for source, artifacts, target in re.findall(r"^ +(\w+) -- ([\w, ]+) --> (\w+)$", README, re.MULTILINE)
        for artifact in artifacts.split(",")
    }
    wired = {
        (value["taskOutputArtifact"]["producerTask"], value["taskOutputArtifact"]["outputArtifactKey"], step)
        for step, task in step_tasks(SPEC).items()
        for value in task["inputs"].get("artifacts", {}).values()
    }
    assert drawn == wired


@pytest.mark.parametrize("step", STEPS)
def test_the_table_names_each_steps_outputs(step: str) -> None:
    (row,) = re.findall(rf"^\| \[{step}\]\((.+?)\) \|.*\| (.*) \|$", README, re.MULTILINE)
    assert (ROOT / row[0]).is_file()
    assert set(re.findall(r"`(\w+)`", row[1])) == set(SPEC["components"][f"comp-{step}"]["outputDefinitions"]["artifacts"])


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README) + re.findall(r'src="(?!https?:)([^"]+)"', README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)\b", README))
    assert named
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
