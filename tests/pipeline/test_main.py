import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ([sys.executable, "-m", "pipeline"], "python -m pipeline"),
        ([str(Path(sys.executable).parent / "hpa-pipeline")], "hpa-pipeline"),
    ],
    ids=["module", "script"],
)
def test_help_shows_the_name_of_the_called_program(command: list[str], name: str, tmp_path: Path) -> None:
    """From a folder where nothing but what `make setup` installs leads to the project."""
    shown = subprocess.run([*command, "models", "list", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"Usage: {name} models list " in shown.stdout
