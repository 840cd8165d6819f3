import pytest

from pipeline.compiled import load_parameters
from tests.pipeline.commands.conftest import invoke


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_nothing_is_truncated_in_a_narrow_terminal(columns: str) -> None:
    listed = invoke("parameters", COLUMNS=columns).stdout
    for name, parameter in load_parameters().items():
        assert f"{name}={'... required' if parameter.is_required else parameter.default_text}  (" in listed
        assert " ".join(parameter.description.split()) in " ".join(listed.split())
    assert "…" not in listed
