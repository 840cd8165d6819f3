"""Measures what InceptionResNetV2 learns from scratch on synthetic images with this pipeline, compared with baselines.

    python -m benchmarks.learning --samples 1300 --epochs 12 --seeds 3
    python -m benchmarks.learning --recipes paper strong "strong loss=focal"

Each seed is a run of the pipeline with its own series of samples, split and initial weights, which are the same for all
recipes. The test split is large, as few samples would say little. The reference is a logistic regression on the mean and the
standard deviation of each channel, on the same split and with its threshold fitted in the same way. It sees only the brightness
of an image, and no patterns.
"""

import argparse
import csv
import gzip
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import describe_machine
from benchmarks.pipeline_run import run_pipeline
from components.artifacts.manifest import SAMPLES, Examples
from components.evaluate.metrics import scoreboard
from components.evaluate.thresholds import fit_global_threshold
from pipeline.compiled import ROOT

FOLDER = ROOT / "outputs" / "learning"
# The shares of the other splits.
SPLITS = {"validation_fraction": 0.14, "test_fraction": 0.31}
METRICS = {"f1_macro": "F1, macro average", "f1_micro": "F1, micro average", "accuracy": "Accuracy at 0.5"}


@dataclass(frozen=True)
class Result:
    """The figures of a seed: the network's on test and validation, the linear model's, and those of each class on test."""

    test: dict[str, float]
    validation: dict[str, float]
    linear: dict[str, float]
    classes: list[dict[str, float | str]]


def run_seed(recipe: str, seed: int, samples: int, epochs: int, image_size_px: int, folder: Path) -> Result:
    """Runs the pipeline once, and reads its results. `recipe` is a name, with parameters that override the recipe's."""
    arguments = [f"source=synthetic:{samples}@{seed}", f"image_size_px={image_size_px}", f"epochs={epochs}"]
    arguments += [f"seed={seed}", f"split_seed={seed}"]
    arguments += [f"{name}={share}" for name, share in SPLITS.items()]
    arguments += f"recipe={recipe}".split()
    run = run_pipeline(folder, "weights=none", *arguments)
    evaluation = run.read_json("evaluate", "blessing")
    examples = Examples.read(str(run.artifact("convert", "examples")))
    return Result(
        evaluation["metrics"],
        evaluation["validation_metrics"],
        linear_model(Path(examples.file_uri(SAMPLES)), len(examples.class_names)),
        run.read_json("evaluate", "class_metrics")["classes"],
    )


def linear_model(samples_csv: Path, num_classes: int) -> dict[str, float]:
    """Fits a logistic regression for each class to the channels' means and deviations, and evaluates it on the test split."""
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(samples_csv.read_bytes()).decode())))
    names = [name.removeprefix("mean_square_") for name in rows[0] if name.startswith("mean_square_")]
    mean = np.array([[float(row[f"mean_{name}"]) for name in names] for row in rows])
    mean_square = np.array([[float(row[f"mean_square_{name}"]) for name in names] for row in rows])
    features = StandardScaler().fit_transform(np.hstack([mean, np.sqrt(np.maximum(mean_square - mean**2, 0))]))
    y_true = np.zeros((len(rows), num_classes), bool)
    for position, row in enumerate(rows):
        y_true[position, [int(label) for label in row["labels"].split()]] = True
    is_in = {split: np.array([row["split"] == split for row in rows]) for split in ("train", "validation", "test")}
    model = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(features[is_in["train"]], y_true[is_in["train"]])
    score = {split: model.predict_proba(features[is_in[split]]) for split in ("validation", "test")}
    threshold = fit_global_threshold(y_true[is_in["validation"]], score["validation"])
    return scoreboard(y_true[is_in["test"]], score["test"], threshold)


def _print_header(title: str, num_seeds: int) -> None:
    print(f"| {title} | " + " | ".join(f"seed {seed}" for seed in range(num_seeds)) + " | mean |")
    print("|---|" + "---:|" * (num_seeds + 1))


def _print_row(title: str, values: Sequence[float]) -> None:
    cells = [*values, statistics.mean(values)]
    print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in cells) + " |")


def print_tables(results: Sequence[Result]) -> None:
    """Prints Markdown: the scoreboard by seed, and the F1 of each class, averaged over the seeds."""
    _print_header("", len(results))
    for name, title in METRICS.items():
        _print_row(f"**{title}, test**", [result.test[name] for result in results])
        _print_row("linear model on moments", [result.linear[name] for result in results])
        _print_row("baseline", [result.test[f"{name}_baseline"] for result in results])
        _print_row(f"{title}, validation", [result.validation[name] for result in results])
        _print_row("baseline", [result.validation[f"{name}_baseline"] for result in results])
    print("\n| Class | positives in test | F1 | baseline |\n|---|---:|---:|---:|")
    for scores in zip(*(result.classes for result in results), strict=True):
        means = [statistics.mean(float(score[name]) for score in scores) for name in ("support", "f1", "f1_baseline")]
        print(f"| {scores[0]['name']} | {means[0]:.1f} | {means[1]:.2f} | {means[2]:.2f} |")


def main() -> None:
    """Runs all seeds and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1300)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--image-size-px", type=int, default=75)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=["paper"])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the folder of the runs, which are reused")
    options = parser.parse_args()
    results: dict[str, list[Result]] = {recipe: [] for recipe in options.recipes}
    size = options.samples, options.epochs, options.image_size_px
    for seed in range(options.seeds):
        for recipe, of_recipe in results.items():
            of_recipe.append(run_seed(recipe, seed, *size, options.folder))
    shares = ", ".join(f"{name}={share}" for name, share in SPLITS.items())
    print(
        f"\n{options.samples} samples ({shares}), {options.epochs} epochs at {options.image_size_px} px; {describe_machine()}."
    )
    print()
    _print_header(f"{METRICS['f1_macro']}, test", options.seeds)
    for recipe, of_recipe in results.items():
        _print_row(f"recipe={recipe}", [result.test["f1_macro"] for result in of_recipe])
    for recipe, of_recipe in results.items():
        print(f"\nrecipe={recipe}:\n")
        print_tables(of_recipe)


if __name__ == "__main__":
    main()
