import pytest

from tests.pipeline.commands.conftest import invoke


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["preview", "dir:cells", "labels=my table.xlsx"], "labels is an option here: write --labels 'my table.xlsx'"),
        (["preview", "dir:cells", "file_pattern={id}.tif"], "write --file-pattern '{id}.tif'"),
        (["run", "source=dir:cells", "--labels", "table.xlsx"], "--labels is a parameter: write labels=VALUE"),
        (["run", "--image-size-px=75"], "--image-size-px is a parameter: write image_size_px=75"),
        (["run", "--sources", "dir:cells"], "No such option: --sources"),
    ],
)
def test_a_parameter_in_the_other_spelling_is_corrected(words: list[str], advice: str) -> None:
    refused = invoke(*words)
    assert refused.exit_code == 2
    assert advice in refused.output
