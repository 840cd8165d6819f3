"""`run`: runs the whole pipeline on this machine."""

import importlib.util
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.runtime.wording import count_of
from pipeline.commands.options import Arguments, pipeline_root_option
from pipeline.commands.output import reported
from pipeline.compiled import load_parameters, load_steps, parse_arguments
from pipeline.local import default_locations, default_weights, run_pipeline
from pipeline.local_run import RUN_PAGE, LocalRun

# Packages of each step, in the order of the steps. Checked first: one missing in the last step would fail only after hours.
_NEEDED = ("numpy", "PIL", "google_crc32c", "tqdm", "cv2", "apache_beam", "tensorflow_transform", "tensorflow", "sklearn")


def run(
    arguments: Arguments,
    pipeline_root: Annotated[Path, pipeline_root_option("The folder for artifacts, data and models.")] = Path("outputs"),
) -> None:
    """Runs the pipeline on this machine, without a cluster or Docker.

    The parameters are those of the pipeline: see `python -m pipeline parameters`. The source is required:
    kaggle:<competition>, dir:<folder, gs://... or s3://...> with images and labels, or
    synthetic:<number of samples>[@<series>].

    Finished work is reused if its inputs have not changed: after an interruption the same command resumes, and on unchanged
    data it is done in a minute. Each run writes a page, run.html, with its result, predicted images and steps.

    Example: python -m pipeline run source=dir:my_images image_size_px=149 epochs=20 weights=none
    """
    # Bound to the terminal now, as a run redirects standard output to a transcript.
    console = Console(file=sys.stdout, highlight=False)
    with reported("Stopped. The same command resumes from here."):
        parameters = load_parameters()
        given = parse_arguments(arguments, parameters)
        if "source" not in given:
            raise ValueError("source is required, such as source=dir:<folder> or source=synthetic:450")
        located = default_locations(given, pipeline_root)
        _check_installed()
        if "weights" not in located:
            recipe = located.get("recipe", parameters["recipe"].default)
            located["weights"], reason = default_weights(recipe, located.get("backbone", ""))
            if reason:
                console.print(f"Training starts from random weights (weights=none): {escape(reason)}.", soft_wrap=True)
        with _StepView(console) as view:
            finished = run_pipeline(located, pipeline_root, view.show)
        model_name = located.get("model_name", parameters["model_name"].default)
        summarise(finished, f"{located['serving_root']}/{model_name}", console, "blessing_min_gain" not in given)


def _check_installed() -> None:
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(name=package)


class _StepView:
    """Shows the steps' log. In a terminal, progress is a single line that is redrawn."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step, self._started_s = "", time.monotonic()
        self._status = console.status("starting") if console.is_terminal else None

    def __enter__(self) -> "_StepView":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, step: str, text: str) -> None:
        if step != self._step:
            self._step = step
            elapsed_s = time.monotonic() - self._started_s
            steps = load_steps()
            self._console.print(f"[bold]step {steps.index(step) + 1}/{len(steps)}: {step}[/] [dim]({elapsed_s:.0f} s)[/]")
            if self._status:
                self._status.update(step)
        elif self._status and ", ETA " in text:
            self._status.update(f"{step}: {escape(text)}")
        else:
            self._console.print(f"  {escape(text)}", soft_wrap=True)


def summarise(finished: LocalRun, model_uri: str, console: Console, may_push_anyway: bool) -> None:
    """Prints the scores, the outcome and what to do next.

    Args:
        finished: The run.
        model_uri: `<serving_root>/<model_name>`.
        console: Where to print.
        may_push_anyway: Whether `blessing_min_gain=-1` is left to try.
    """
    verdict = finished.read_json("evaluate", "blessing")
    judged_on = count_of(verdict["num_samples"], f"{verdict['judged_on']} sample")
    table = Table("Metric", judged_on, "baseline", "scored by", box=None)  # fits in 80 columns
    for figure in finished.figures():
        table.add_row(figure.title, f"{figure.value:.3f}", f"{figure.baseline:.3f}", figure.baseline_title)
    console.print()
    console.print(table)
    console.print()
    console.print(escape(finished.outcome()), soft_wrap=True)
    if reused := finished.reused_steps():
        console.print(f"Reused, as their inputs have not changed: {', '.join(reused)}", soft_wrap=True)
    for name, line in list(finished.summary().items())[:1]:
        console.print(escape(f"{name}: {line}"), soft_wrap=True)
    console.print()
    console.print(f"Predicted images, right and wrong, and all reports: {finished.folder / RUN_PAGE}", soft_wrap=True)
    if finished.has_champion:
        console.print(f"Try the model in a browser: python -m pipeline serve --model {shlex.quote(model_uri)}", soft_wrap=True)
    elif may_push_anyway:
        console.print("To try this model anyway: add blessing_min_gain=-1 to the same command", soft_wrap=True)
    console.print("Train on your own images: docs/tutorials/own-images.md", soft_wrap=True)
