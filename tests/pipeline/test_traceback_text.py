"""The error of a failed step."""

import traceback

import pytest

from components.storage import NoCredentialsError
from pipeline.traceback_text import last_exception


def _printed(error: Exception) -> list[str]:
    """An exception as shown by KFP's runner, after the step's earlier output."""
    try:
        try:
            raise KeyError("earlier")
        except KeyError:
            raise error  # noqa: B904
    except Exception:
        return ["ingest | started", *(f"    {line}" for line in traceback.format_exc().splitlines()), "", "ended"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NoCredentialsError("sign in. Then: a.b.C"), "NoCredentialsError: sign in. Then: a.b.C"),
        (ValueError("components.x.Y: is none"), "ValueError: components.x.Y: is none"),
        (ValueError("first\nsecond.line: x"), "ValueError: first\nsecond.line: x"),
        (NoCredentialsError(), "NoCredentialsError"),
    ],
)
def test_the_class_and_the_message_are_returned_without_the_module(error: Exception, message: str) -> None:
    assert last_exception(_printed(error)) == message


def test_without_a_traceback_the_result_is_empty() -> None:
    assert last_exception(["ingest | started", "killed"]) == ""
