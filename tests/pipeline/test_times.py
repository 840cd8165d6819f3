"""When a schedule starts runs."""

import re

import pytest

from pipeline.times import read_times


@pytest.mark.parametrize(
    ("given", "cron"),
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("5 0 3 * * 1", "5 0 3 * * 1"),
        ("*/15 8-18/2 1,15 Jan-mar ?", "0 */15 8-18/2 1,15 Jan-mar ?"),
        ("59 23 31 12 6", "0 59 23 31 12 6"),
        ("0  3 * *   MON-FRI", "0 0 3 * * MON-FRI"),
        ("0 3/6 * * sun", "0 0 3/6 * * sun"),
    ],
)
def test_a_time_is_given_to_kfp_with_its_seconds(given: str, cron: str) -> None:
    assert read_times(given, "") == (cron, 0)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 3 * * 1", "minute: expected 0 to 59. Received: 61 in"),
        ("0 24 * * 1", "hour: expected 0 to 23. Received: 24 in"),
        ("0 3 0 * 1", "day of month: expected 1 to 31. Received: 0 in"),
        ("0 3 * 13 1", "month: expected 1 to 12 or jan to dec. Received: 13 in"),
        ("0 3 * january 1", "month: expected 1 to 12 or jan to dec. Received: january in"),
        ("0 0 3 * * 9", "day of week: expected 0 to 6 or sun to sat. Received: 9 in"),
        ("0 3 * * 7", "day of week: expected 0 to 6 or sun to sat. Received: 7 in"),
        ("60 0 3 * * 1", "second: expected 0 to 59. Received: 60 in"),
        ("0 3 * * fri-mon", "day of week: expected"),
        ("*/0 3 * * 1", "minute: expected"),
        ("5- 3 * * 1", "minute: expected"),
        ("1,, 3 * * 1", "minute: expected"),
        ("-5 3 * * 1", "minute: expected"),
        ("x 3 * * 1", "minute: expected"),
        ("@weekly", "expected five fields"),
    ],
)
def test_a_time_that_never_comes_is_refused(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"--cron: {message}")):
        read_times(cron, "")
