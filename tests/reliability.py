"""A pytest plugin for `make test-long`: skips what has passed on this commit, and writes docs/reliability.md.

The first paragraph of a test's docstring, or else its name, states the promise. A test that measures something reports it with
`record_property("figure", "100 of 100 kills")`.
"""

import datetime
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import describe_commit, section, with_section
from benchmarks.machine import describe_machine
from components.runtime.wording import count_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
# Where pytest's cache keeps the tests that have passed, by their ids.
_PASSED = "reliability/passed"
_HEADER = ("| promise | tested by | passed | date, commit and machine |", "|---|---|---|---|")
# The name of a test function in its row.
_TEST = re.compile(r"\| `([^`]+::[^`]+)` \|")
# What xdist appends to the id of a test that has a group.
_GROUP = re.compile(r"@[^]@]*$")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that have already passed on this commit."""
    for item in items:
        name = item.name.removeprefix("test_").partition("[")[0].replace("_", " ")
        promise = (inspect.getdoc(getattr(item, "function", None)) or name).partition("\n\n")[0]
        item.user_properties.append(("promise", " ".join(promise.split())))
    passed, commit = config.cache.get(_PASSED, {}), describe_commit()
    current = {case for case, result in passed.items() if result["commit"] == commit and "changes" not in commit}
    done = [item for item in items if without_group(item.nodeid) in current]
    config.hook.pytest_deselected(items=done)
    items[:] = [item for item in items if item not in done]


def without_group(nodeid: str) -> str:
    """The id of a case without the group that xdist appends."""
    return _GROUP.sub("", nodeid)


class _Recorder:
    """Saves each result as soon as it arrives; runs only in the controlling process."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache = config.cache
        self._commit, self._machine = describe_commit(), describe_machine()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        passed: dict[str, Any] = self._cache.get(_PASSED, {})
        case = without_group(report.nodeid)
        passed.pop(case, None)
        if report.passed:
            passed[case] = {
                "commit": self._commit,
                "machine": self._machine,
                "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
                "seconds": report.duration,
                **dict(report.user_properties),
            }
        self._cache.set(_PASSED, passed)

    def pytest_sessionfinish(self) -> None:
        """Writes the page. Rows of tests that have not passed here stay: they are from other machines."""
        page = PAGE.read_text(encoding="utf-8")
        rows = {found[1]: row for row in section(page, "results").splitlines() if (found := _TEST.search(row))}
        rows |= as_rows(self._cache.get(_PASSED, {}))
        table = [*_HEADER, *(row for name, row in sorted(rows.items()) if _exists(name))]
        PAGE.write_text(with_section(page, "results", "\n".join(table), "make test-long"), encoding="utf-8")


def _exists(name: str) -> bool:
    """Whether there still is a test function of this name."""
    file, _, test = name.partition("::")
    path = PAGE.parent.parent / file
    return path.is_file() and f"def {test.rpartition('::')[2]}(" in path.read_text(encoding="utf-8")


def as_rows(passed: dict[str, dict[str, Any]]) -> dict[str, str]:
    """For each test function, a row of a Markdown table with the number of its cases that have passed."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for name, result in passed.items():
        test = re.split(r"[\[@]", name)[0]  # without the parameters, and the group in results of earlier versions
        cases.setdefault(test, []).append(result)
    rows = {}
    for name, results in cases.items():
        figures = "; ".join(dict.fromkeys(result["figure"] for result in results if "figure" in result))
        minutes = sum(result["seconds"] for result in results) / 60
        newest = results[-1]  # a repeated case is recorded anew, at the end
        case_words = f"{count_of(len(results), 'case')} in {minutes:.1f} min" + (f": {figures}" if figures else "")
        provenance = f"{newest['date']}, {newest['commit']}, {newest['machine']}"
        rows[name] = f"| {newest['promise']} | `{name}` | {case_words} | {provenance} |"
    return rows


def pytest_configure(config: pytest.Config) -> None:
    """Records results, except in xdist's workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(config), "reliability-recorder")
