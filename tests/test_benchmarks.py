"""What `make bench` writes into its page."""

from pathlib import Path

import pytest

from benchmarks import __main__ as bench

PAGE = """# Benchmarks

## one

By hand.

<!-- one: by `make bench ONLY=one` -->

old

<!-- end of one -->

## more

By hand.
"""


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = bench.with_section(PAGE, "one", "new\\1")
    assert page == PAGE.replace("old", "new\\1")
    assert bench.section(page, "one") == "new\\1"


def test_a_benchmark_that_the_page_does_not_know_comes_to_its_end() -> None:
    page = bench.with_section(PAGE, "two", "figures")
    assert page.startswith(PAGE)
    assert bench.section(page, "two") == "figures"
    assert bench.section(PAGE, "two") == ""


def test_figures_are_written_with_their_command_commit_and_machine_and_not_had_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(bench, "BENCHMARKS", {"evaluate": "--samples 60"})
    monkeypatch.setattr(bench, "describe_commit", lambda: "commit 0123456789")
    assert bench.run_all([], page) == []
    written = page.read_text(encoding="utf-8")
    assert written.startswith(PAGE)
    section = bench.section(written, "evaluate")
    assert section.startswith("`python -m benchmarks.evaluate --samples 60`, ")
    assert ", commit 0123456789, " in section
    assert "| What | seconds |\n|---|---:|\n" in section
    assert section.splitlines()[-1] in capsys.readouterr().out  # it is seen as it comes

    assert bench.run_all([], page) == []
    assert capsys.readouterr().out == ""
    assert page.read_text(encoding="utf-8") == written


def test_older_figures_stay_where_a_benchmark_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(bench, "BENCHMARKS", {"one": "--no-such-option", "synthetic_realism": str(tmp_path)})
    assert bench.run_all(["one", "synthetic_realism"], page) == ["one", "synthetic_realism"]
    assert page.read_text(encoding="utf-8") == PAGE
