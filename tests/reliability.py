"""A pytest plugin for `make test-long`: skips what has passed on this commit, and writes docs/reliability.md.

The first paragraph of a test's docstring, or else its name, states the promise. A test that measures something reports it with
`record_property("figure", "100 of 100 kills")`.
"""

import datetime
import inspect
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import describe_commit, with_section
from benchmarks.machine import describe_machine
from components.runtime.wording import count_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
# Where pytest's cache keeps the tests that have passed, by their ids.
_PASSED = "reliability/passed"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests that have already passed on this commit."""
    for item in items:
        name = item.name.removeprefix("test_").partition("[")[0].replace("_", " ")
        promise = (inspect.getdoc(getattr(item, "function", None)) or name).partition("\n\n")[0]
        item.user_properties.append(("promise", " ".join(promise.split())))
    passed, commit = config.cache.get(_PASSED, {}), describe_commit()
    done = [item for item in items if passed.get(item.nodeid, {}).get("commit") == commit and "changes" not in commit]
    config.hook.pytest_deselected(items=done)
    items[:] = [item for item in items if item not in done]


class _Recorder:
    """Saves each result as soon as it arrives; runs only in the controlling process."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache = config.cache
        self._commit, self._machine = describe_commit(), describe_machine()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        passed: dict[str, Any] = self._cache.get(_PASSED, {})
        passed.pop(report.nodeid, None)
        if report.passed:
            passed[report.nodeid] = {
                "commit": self._commit,
                "machine": self._machine,
                "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
                "seconds": report.duration,
                **dict(report.user_properties),
            }
        self._cache.set(_PASSED, passed)

    def pytest_sessionfinish(self) -> None:
        passed = {name: result for name, result in self._cache.get(_PASSED, {}).items() if _exists(name)}
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(with_section(page, "results", as_table(passed), "make test-long"), encoding="utf-8")


def _exists(name: str) -> bool:
    """Whether there still is a test of this id."""
    file, _, test = name.partition("[")[0].partition("::")
    path = PAGE.parent.parent / file
    return path.is_file() and f"def {test.rpartition('::')[2]}(" in path.read_text(encoding="utf-8")


def as_table(passed: dict[str, dict[str, Any]]) -> str:
    """A Markdown table with a row per test function and the number of its cases that have passed."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for name, result in passed.items():
        cases.setdefault(name.partition("[")[0], []).append(result)
    rows = ["| promise | tested by | passed | date, commit and machine |", "|---|---|---|---|"]
    for name, results in sorted(cases.items()):
        figures = "; ".join(dict.fromkeys(result["figure"] for result in results if "figure" in result))
        minutes = sum(result["seconds"] for result in results) / 60
        newest = max(results, key=lambda result: result["date"])
        case_words = f"{count_of(len(results), 'case')} in {minutes:.1f} min" + (f": {figures}" if figures else "")
        provenance = f"{newest['date']}, {newest['commit']}, {newest['machine']}"
        rows.append(f"| {newest['promise']} | `{name}` | {case_words} | {provenance} |")
    return "\n".join(rows)


def pytest_configure(config: pytest.Config) -> None:
    """Records results, except in xdist's workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(config), "reliability-recorder")
