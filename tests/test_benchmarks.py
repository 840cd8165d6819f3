"""What `make bench` writes into its page, and the rows of `benchmarks.gpu`."""

import argparse
import re
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import gpu

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


def test_gpu_rows_are_written_as_they_end_and_say_what_is_missing_or_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    measure = gpu.measure

    def watch(row: gpu.Row, options: argparse.Namespace) -> str:
        written.append(capsys.readouterr().out)
        return measure(row, options)

    rows = ["pytorch bfloat16 compile", "input pipeline", "predict inception_resnet_v2 tensorflow bfloat16 xla 16"]
    monkeypatch.setattr(gpu, "measure", watch)
    monkeypatch.setitem(gpu.NEEDED, "pytorch", ("no_such_package",))
    sizes = ["--image-size-px", "75", "--batch-size", "2", "--steps", "2", "--time-limit-s", "4"]
    monkeypatch.setattr(sys, "argv", ["gpu", "--rows", *rows, *sizes])
    gpu.main()
    missing, measured = written[1:3]
    assert missing.endswith("| pytorch | bfloat16 compile | 2 | not installed: no_such_package |  |  |\n")
    assert re.fullmatch(r"\| input pipeline \|  \| numpy \|  \| 2 \| [\d.]+ \| \d+ \| CPU, NumPy \S+ \|\n", measured)
    assert "| takes longer than 4 s |" in capsys.readouterr().out
