"""The sections that `make bench` writes, and the rows of `benchmarks.gpu`."""

import argparse
import functools
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import convert_pool, gpu, predict_precision
from benchmarks.convert_ways import Source
from components import storage
from components.artifacts.index import ImageFile, Sample, dump_index
from components.convert.shards.tasks import ShardTask
from components.synthetic.samples import render_sample
from tests.components.images.damage import with_right_checksums

PAGE = """# Benchmarks

## one

By hand.

<!-- one: by `make bench ONLY=one` -->

old

<!-- end of one -->

## more

By hand.
"""


def test_only_the_text_between_the_marks_is_replaced() -> None:
    page = bench.with_section(PAGE, "one", "new\\1")
    assert page == PAGE.replace("old", "new\\1")
    assert bench.section(page, "one") == "new\\1"


def test_a_new_benchmark_is_appended_to_the_page() -> None:
    page = bench.with_section(PAGE, "two", "figures")
    assert page.startswith(PAGE)
    assert bench.section(page, "two") == "figures"
    assert bench.section(PAGE, "two") == ""


def test_figures_are_written_with_their_provenance_and_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(bench, "BENCHMARKS", {"evaluate": "--samples 60"})
    monkeypatch.setattr(bench, "_git", lambda *words, left_out: "0123456789" if words[0] == "log" else "")
    assert bench.run_all([], page) == []
    written = page.read_text(encoding="utf-8")
    assert written.startswith(PAGE)
    section = bench.section(written, "evaluate")
    assert section.startswith("`python -m benchmarks.evaluate --samples 60`, ")
    assert ", commit 0123456789, " in section
    assert "| What | seconds |\n|---|---:|\n" in section
    assert section.splitlines()[-1] in capsys.readouterr().out  # it is also printed

    assert bench.run_all([], page) == []
    assert capsys.readouterr().out == ""
    assert page.read_text(encoding="utf-8") == written


def test_figures_are_current_until_what_is_measured_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    run = functools.partial(subprocess.run, cwd=tmp_path, check=True)
    run(["git", "init", "--quiet"])
    assert bench.describe_commit() == "no commit"

    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    def commit(name: str, text: str) -> str:
        write(name, text)
        run(["git", "add", name])
        run(["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "--quiet", "--message", name])
        return bench.describe_commit(*bench.UNMEASURED)

    def is_current(command: str = "python -m benchmarks.one") -> bool:
        return bench.is_current(f"`python -m benchmarks.one`, 2026-11-30, {first}, 1 minute on 2 cores:", command)

    first = commit("code.py", "one")
    assert re.fullmatch("commit [0-9a-f]{10}", first)
    for name in ("page.md", "tests/test_code.py", "pipeline/preflight/data.py", "benchmarks/__main__.py"):
        assert commit(name, "one") == first
    assert bench.describe_commit() != first
    write("page.md", "other figures")
    assert "changes" not in bench.describe_commit(*bench.UNMEASURED)
    assert is_current()
    assert not is_current("python -m benchmarks.one --samples 6")

    write("new.py", "not committed")
    assert not is_current()
    (tmp_path / "new.py").unlink()
    write("code.py", "two")
    assert bench.describe_commit(*bench.UNMEASURED).endswith(" with changes")
    assert not is_current()
    assert commit("code.py", "two") != first
    assert not is_current()
    commit("code.py", "one")
    assert is_current()
    first = "commit 0123456789"
    assert not is_current()


def test_a_failed_benchmark_keeps_its_earlier_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(bench, "BENCHMARKS", {"one": "--no-such-option", "synthetic_realism": str(tmp_path)})
    assert bench.run_all(["one", "synthetic_realism"], page) == ["one", "synthetic_realism"]
    assert page.read_text(encoding="utf-8") == PAGE


def test_precisions_are_not_compared_on_a_processor_that_emulates_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_precision, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(sys, "argv", ["predict_precision"])
    with pytest.raises(SystemExit, match="run this benchmark on one that does"):
        predict_precision.main()


def test_gpu_rows_are_printed_at_once_and_name_missing_packages_and_timeouts(
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


# Damage to an image, each kind detected by a checksum of a chunk or of the pixels.
_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a byte": lambda png: png[:3000] + bytes([png[3000] ^ 1]) + png[3001:],
    "a byte, and its chunk's checksum fits": lambda png: with_right_checksums(png[:3000] + bytes([png[3000] ^ 1]) + png[3001:]),
    "the pixels' checksum": lambda png: with_right_checksums(png[:-17] + bytes([png[-17] ^ 1]) + png[-16:]),
    "the end": lambda png: png[:-12],
}


@pytest.mark.parametrize("way", ["write_shard_with_same_codec", "write_shard_with_pillow", "inflate_with_zlib"])
def test_the_pools_compared_with_convert_also_refuse_damaged_images(tmp_path: Path, way: str) -> None:
    work: Callable[[ShardTask], int] = getattr(convert_pool, way)
    (tmp_path / "examples").mkdir()
    (tmp_path / "images").mkdir()

    def act(pngs: dict[str, bytes]) -> int:
        for name, png in pngs.items():
            (tmp_path / "images" / name).write_bytes(png)
        files = {name: ImageFile(name, len(png), storage.crc32c(png)) for name, png in pngs.items()}
        (tmp_path / "index.csv.gz").write_bytes(dump_index([Sample("a", (0,), 0, "", files)]))
        tasks = Source(str(tmp_path), 1, 75, ("red", "green", "blue")).tasks("train")
        return sum(map(work, tasks))

    pngs = render_sample(0, 0).pngs
    assert act(pngs) == 1
    for damage in _DAMAGE.values():
        with pytest.raises((AssertionError, ValueError, OSError, zlib.error)):
            act(pngs | {"green": damage(pngs["green"])})
