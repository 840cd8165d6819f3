"""The README agrees with pipeline.yaml."""

import re

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, ROOT, load_steps

README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEC = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))


@pytest.mark.parametrize("step", load_steps())
def test_the_table_names_each_steps_outputs(step: str) -> None:
    (row,) = re.findall(rf"^\| \[{step}\]\((.+?)\) \|.*\| (.*) \|$", README, re.MULTILINE)
    assert (ROOT / row[0]).is_file()
    assert set(re.findall(r"`(\w+)`", row[1])) == set(SPEC["components"][f"comp-{step}"]["outputDefinitions"]["artifacts"])


def test_each_of_the_two_commands_has_a_line_of_its_own() -> None:
    assert [line for line in README.splitlines() if line in ("make run", "make test")] == ["make run", "make test"]


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 900
