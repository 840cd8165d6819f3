"""The plugin behind `make test-long`."""

from pathlib import Path

import pytest

from tests import reliability

_TESTS = '''
import pathlib
import pytest

@pytest.mark.parametrize("case", [1, 2])
def test_survives(case, record_property):
    """A killed process resumes.

    More is said here.
    """
    record_property("figure", "9 of 9 kills")
    with pathlib.Path("ran.txt").open("a") as ran:
        ran.write(f"{case}\\n")
    assert case == 1 or pathlib.Path("mended").exists()

@pytest.mark.skip
def test_survives_elsewhere():
    pass
'''


def test_only_tests_that_have_not_passed_run_again_and_the_page_shows_all(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pytester.mkdir("docs") / "reliability.md"
    others = (
        "| Other machines' rows stay. | `test_kills.py::test_survives_elsewhere` |",
        "| Removed. | `test_gone.py::test_x` |",
    )
    rows = "".join(f"{row} 1 case in 1.0 min | 2026-11-29 |\n" for row in others)
    page.write_text(f"# Reliability\n\n<!-- results: by `make test-long` -->\n\n{rows}\n<!-- end of results -->\n")
    monkeypatch.setattr(reliability, "PAGE", page)
    monkeypatch.setattr(reliability, "describe_commit", lambda: "commit 0123456789")
    tests = pytester.makepyfile(test_kills=_TESTS)

    def run() -> None:
        pytester.inline_run("-p", "tests.reliability", "-p", "no:xdist", tests)

    run()
    row = "| A killed process resumes. | `test_kills.py::test_survives` |"
    assert f"{row} 1 case in 0.0 min: 9 of 9 kills |" in page.read_text()
    Path("mended").touch()
    run()
    run()
    assert Path("ran.txt").read_text().split() == ["1", "2", "2"]
    assert f"{row} 2 cases in 0.0 min: 9 of 9 kills |" in page.read_text()
    assert "commit 0123456789" in page.read_text()
    assert [row in page.read_text() for row in others] == [True, False]


@pytest.mark.parametrize("case", ["test_a.py::test_x", "test_a.py::test_x[2]", "test_a.py::test_x[synthetic:20@1]"])
def test_a_case_has_the_same_id_with_and_without_xdist(case: str) -> None:
    assert reliability.without_group(case) == reliability.without_group(f"{case}@runs") == case


def test_cases_are_in_the_row_of_their_test_whatever_their_group() -> None:
    result = {"promise": "It resumes.", "seconds": 60, "date": "2026-11-29", "commit": "commit 0", "machine": "2 cores"}
    rows = reliability.as_rows({f"test_a.py::TestRuns::test_x{case}": result for case in ("", "[1]", "@runs", "[2]@runs")})
    assert rows == {
        "test_a.py::TestRuns::test_x": "| It resumes. | `test_a.py::TestRuns::test_x` | 4 cases in 4.0 min | "
        "2026-11-29, commit 0, 2 cores |"
    }


def test_a_row_names_the_commit_of_the_case_that_was_recorded_last() -> None:
    result = {"promise": "It resumes.", "seconds": 60, "date": "2026-11-29", "machine": "2 cores"}
    rows = reliability.as_rows({f"test_a.py::test_x[{case}]": result | {"commit": f"commit {case}"} for case in (2, 1)})
    assert rows["test_a.py::test_x"].endswith(" | 2 cases in 2.0 min | 2026-11-29, commit 1, 2 cores |")
