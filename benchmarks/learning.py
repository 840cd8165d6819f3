"""What InceptionResNetV2 learns from scratch on synthetic images, with this pipeline: figures beside their floors.

    python benchmarks/learning.py --samples 450 --epochs 8 --seeds 3

Each seed is a whole run of the pipeline, on samples, a split and initial weights of its own.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METRICS = {"f1_macro": "F1, macro average", "f1_micro": "F1, micro average", "accuracy": "Accuracy at 0.5"}


def run_seed(seed: int, samples: int, epochs: int, image_size_px: int, folder: Path) -> dict[str, float]:
    """Runs the pipeline and returns the figures of its evaluation, on test and on validation, and the seconds it took."""
    arguments = [f"source=synthetic:{samples}", f"image_size_px={image_size_px}", f"epochs={epochs}", f"seed={seed}"]
    command = [sys.executable, "-m", "pipeline", "run", "--pipeline-root", str(folder), "weights=none", *arguments]
    started_s = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True)
    seconds = time.monotonic() - started_s
    newest = max((folder / "runs").iterdir())
    (path,) = newest.glob("*/evaluate/blessing")
    evaluation = json.loads(path.read_text(encoding="utf-8"))
    validation = {f"validation {name}": value for name, value in evaluation["validation_metrics"].items()}
    return {**evaluation["metrics"], **validation, "seconds": seconds}


def describe_machine() -> str:
    """The processor and the number of cores."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {models[0] if models else platform.processor()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def main() -> None:
    """Runs all seeds and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=450)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--image-size-px", type=int, default=75)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = options.samples, options.epochs, options.image_size_px
        results = [run_seed(seed, *size, Path(folder)) for seed in range(options.seeds)]
    print(f"\n{options.samples} samples, {options.epochs} epochs at {options.image_size_px} px; {describe_machine()}.\n")
    print("| | " + " | ".join(f"seed {seed}" for seed in range(options.seeds)) + " |")
    print("|---|" + "---:|" * options.seeds)
    for prefix, split in (("", "test"), ("validation ", "validation")):
        for name, title in METRICS.items():
            print(f"| {title}, {split} | " + " | ".join(f"{result[prefix + name]:.3f}" for result in results) + " |")
            print("| its floor | " + " | ".join(f"{result[f'{prefix}{name}_floor']:.3f}" for result in results) + " |")
    print("| seconds, whole run | " + " | ".join(f"{result['seconds']:.0f}" for result in results) + " |")


if __name__ == "__main__":
    main()
