"""How long `make run` takes, and how good its model is, over several seeds: `python -m benchmarks.demo`.

Each run has its own folder and nothing to reuse. The images and the split are the same in all runs; a seed determines the
initial weights, the order of the images, the augmentation and the dropout. Macro F1 is that of the blessing: over the classes
in at least 5 groups of the test split, compared with the best baseline.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.pipeline_run import run_pipeline
from pipeline.compiled import ROOT


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    demo = re.search(r"^DEMO := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert demo
    print(f"`python -m pipeline run {demo[1]}` on {describe_machine()}:\n")
    print(
        "| seed | minutes | test samples | macro F1 | baseline | ratio | gain, 95 % interval |\n|---|---|---|---|---|---|---|"
    )
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {seed} | {' | '.join(run_demo(demo[1].split(), seed, Path(folder)))} |", flush=True)


def run_demo(arguments: list[str], seed: int, folder: Path) -> list[str]:
    """Runs the demo in an empty folder, and returns the cells of its row."""
    started_s = time.monotonic()
    run = run_pipeline(folder, *arguments, f"seed={seed}")
    minutes = (time.monotonic() - started_s) / 60
    blessing = run.read_json("evaluate", "blessing")
    value, baseline = blessing["metrics"]["f1_macro_common"], blessing["metrics"]["f1_macro_common_baseline"]
    gain = re.search(r"the gain is (\S+ to \S+)", " ".join(blessing["reasons"]))
    figures = f"{value:.3f}", f"{baseline:.3f}", f"{value / baseline:.1f}"
    return [f"{minutes:.1f}", str(blessing["num_samples"]), *figures, gain[1] if gain else "not measured"]


if __name__ == "__main__":
    main()
