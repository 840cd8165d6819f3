"""Runs the benchmarks, each in its own process, and writes their output to docs/benchmarks.md.

    python -m benchmarks                    (all whose figures are from other code: an interrupted call resumes)
    python -m benchmarks predict evaluate   (these, even if their figures are current)

The text between the marks of a benchmark is replaced if it succeeds; the rest of the page is written by hand.
"""

import argparse
import datetime
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
# The sources of the figures in the README and docs/, in the order of running.
BENCHMARKS = {
    "demo": "",
    "evaluate": "--samples 31072 --splits 500",
    "thresholds": "--seeds 20",
    "blessing": "--rounds 40 --seeds 20",
    "near_duplicates": "--samples 400 --seeds 4",
    "synthetic_realism": "--samples 128",
    "predict": "--samples 320 --repeats 3",
    "serve": "--samples 160 --repeats 3",
    "predict_precision": "--samples 1000 --repeats 3",
    "ingest": "--gigabytes 2 --repeats 3",
    "input_pipeline": "",
    "train_step": "",
    "convert": "--samples 12000 --repeats 3",
    "convert_formats": "--samples 320 --repeats 2",
    "learning": "--samples 1300 --epochs 12 --seeds 3 --recipes paper strong",
    "transfer": "--backbone small --per-class 15 --pretraining-epochs 30 --epochs 12 --recipes strong "
    "'strong frozen_statistics' 'strong halved_inputs' 'strong brightness=0' 'strong brightness=0.1 added_brightness' "
    "paper plateau",
    "high_resolution": "",
    "drift": "",
    # These use the outputs of `make run` and `make images`.
    "served_png": "--model outputs/serving/hpa/1 --images outputs/data/raw/synthetic-v1-seed0/images",
    "image_sizes": "",
}
# Besides documents, what can change without changing a figure. The arguments above are part of each section's command.
UNMEASURED = ("tests", "pipeline/preflight", "benchmarks/__main__.py")


def command_of(name: str, arguments: str) -> str:
    """The command line of a benchmark."""
    return f"python -m benchmarks.{name} {arguments}".strip()


def section(page: str, name: str) -> str:
    """The text between the marks of a benchmark; may be empty."""
    found = _marked(name).search(page)
    return found[1].strip() if found else ""


def with_section(page: str, name: str, text: str, command: str = "") -> str:
    """Replaces the text between the marks of a benchmark; a page without them gets them at its end.

    Args:
        page: Markdown.
        name: The name of the benchmark.
        text: The new text.
        command: The command in the mark; by default `make bench ONLY=<name>`.
    """
    marked = f"<!-- {name}: by `{command or f'make bench ONLY={name}'}` -->\n\n{text.strip()}\n\n<!-- end of {name} -->"
    if _marked(name).search(page):
        return _marked(name).sub(lambda _: marked, page)
    return f"{page.rstrip()}\n\n## {name}\n\n{marked}\n"


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name}: .*? -->\n(.*?)<!-- end of {name} -->", re.DOTALL)


def describe_commit(*left_out: str) -> str:
    """The last commit that changed a file, except documents and those left out, and whether such files have changed since."""
    try:
        commit, changed = (
            _git(*words, left_out=left_out)
            for words in (["log", "-1", "--format=%h", "--abbrev=10"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return f"commit {commit}" + (" with changes" if changed else "")


def is_current(text: str, command: str) -> bool:
    """Whether a section has figures of this command, and no file that is measured has changed since."""
    found = re.match(rf"`{re.escape(command)}`, [0-9-]+, commit ([0-9a-f]+), ", text)
    try:
        return found is not None and not any(
            _git(*words, left_out=UNMEASURED) for words in (["diff", "--name-only", found[1]], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return False


def _git(*words: str, left_out: Sequence[str]) -> str:
    """The output of a git command on all files, except documents and those left out."""
    command = ["git", *words, "--", ".", *(f":!{path}" for path in ("docs", "*.md", *left_out))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def run_benchmark(name: str, arguments: str) -> str | None:
    """Runs a benchmark, shows its output, and returns its section of the page; None if it failed."""
    command, commit, lines, started_s = command_of(name, arguments), describe_commit(*UNMEASURED), [], time.monotonic()
    words = [sys.executable, "-u", "-m", f"benchmarks.{name}", *shlex.split(arguments)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    printed = "".join(lines).strip()
    if process.returncode or not printed:
        return None
    minutes = (time.monotonic() - started_s) / 60
    had = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {commit}, {minutes:.1f} minutes on {describe_machine()}"
    return f"`{command}`, {had}:\n\n{printed}"


def run_all(chosen: Sequence[str], page: Path = PAGE) -> list[str]:
    """Runs benchmarks and writes the page after each. Returns those that failed, whose older figures are kept.

    Args:
        chosen: The names of the benchmarks; if empty, those whose figures are not current.
        page: The file to write.
    """
    failed, had = [], page.read_text(encoding="utf-8")
    wanted = list(chosen) or [
        name for name, arguments in BENCHMARKS.items() if not is_current(section(had, name), command_of(name, arguments))
    ]
    for number, name in enumerate(wanted, 1):
        print(f"\nbenchmark {number}/{len(wanted)}: {command_of(name, BENCHMARKS[name])}", flush=True)
        text = run_benchmark(name, BENCHMARKS[name])
        if text is None:
            failed.append(name)
            continue
        partial = page.with_suffix(".part")
        partial.write_text(with_section(page.read_text(encoding="utf-8"), name, text), encoding="utf-8")
        partial.replace(page)
    return failed


def main() -> None:
    """Runs the benchmarks named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"one or more of: {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}. They are: {', '.join(BENCHMARKS)}")
    failed = run_all(names)
    if failed:
        again = " ".join(failed)
        sys.exit(f"No figures of {', '.join(failed)}: see the errors above. To retry: python -m benchmarks {again}")
    print(f"\nThe figures are in {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
