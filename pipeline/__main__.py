"""The command line: `python -m pipeline`."""

import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Annotated, NoReturn

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed for {sys.executable}: run `make setup`, then `source .venv/bin/activate`.")

from components.artifacts.counting import count_of
from components.artifacts.image_names import DEFAULT_PATTERN
from components.artifacts.parameters import MIN_SYNTHETIC_SAMPLES
from pipeline import models, submit
from pipeline.compiled import PIPELINE_YAML, compile_pipeline, load_parameters, load_steps, parse_arguments
from pipeline.container_images import read_digests, with_images
from pipeline.help_text import join_paragraphs
from pipeline.lineage import lineage
from pipeline.local import StepFailedError, absolute, default_locations, default_weights, run_pipeline
from pipeline.local_run import RUN_PAGE, LocalRun
from pipeline.modules import run_module
from pipeline.named_files import refuse_folder, refuse_missing_folder
from pipeline.places import find_places, pipeline_root_option
from pipeline.predict import FILE_PATTERN_HELP, FILTERS_HELP, predict
from pipeline.preflight.command import preflight

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(models.app, name="models")
app.add_typer(submit.schedule_app, name="schedule")
app.add_typer(submit.runs_app, name="runs")
# Bound to the terminal now: a run puts a transcript in place of standard output.
_console = Console(file=sys.stdout, highlight=False)
_errors = Console(stderr=True, highlight=False)


@app.callback()
def main() -> None:
    """Learns which protein locations four-filter confocal images of cells show: a Kubeflow pipeline.

    `run` runs it on this machine; `compile` makes the pipeline.yaml that a cluster runs, and `submit` lets it run there.
    """


@app.command("compile")
def compile_command(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is not up to date.")] = False,
    output: Annotated[Path, typer.Option(help="The file to write.", show_default=PIPELINE_YAML.name)] = PIPELINE_YAML,
    registry: Annotated[str, typer.Option(help="Where the images are; empty means on the machine that built them.")] = "",
    tag: Annotated[str, typer.Option(help="The images' tag; empty means the code's version.")] = "",
    digests: Annotated[Path | None, typer.Option(help="A file with what `make push-images` printed: pins the images.")] = None,
) -> None:
    """Compiles the pipeline to pipeline.yaml.

    Example: python -m pipeline compile --registry registry.example.com/hpa --digests digests.txt --output cluster.yaml
    """
    try:
        refuse_folder(output, "--output")
        refuse_missing_folder(output, "--output")
        pinned = read_digests(digests) if digests else None  # before what takes seconds
        text = with_images(compile_pipeline(), registry, tag, pinned)
        is_current = output.is_file() and output.read_text(encoding="utf-8") == text
        if check and not is_current:
            _fail(f"{output.name} is not what the code compiles to: run `python -m pipeline compile` and commit the result.")
        if not is_current:
            output.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        _fail(str(error))
    _console.print(f"{output.name} is {'up to date' if is_current else 'written'}.")


@app.command()
def parameters() -> None:
    """Lists the pipeline's parameters: their defaults, what they mean, and which steps take them."""
    for parameter in load_parameters().values():
        default = "... [dim]required[/]" if parameter.is_required else escape(parameter.default_text)
        steps = ", ".join(parameter.steps) or "the cluster"
        _console.print(f"[bold]{parameter.name}[/]={default}  [dim]({steps})[/]", soft_wrap=True)
        meaning = textwrap.wrap(parameter.description, _console.width - 4, break_long_words=False, break_on_hyphens=False)
        _console.print(textwrap.indent(escape("\n".join(meaning)), "    "), soft_wrap=True)


@app.command(no_args_is_help=True)
def run(
    arguments: Annotated[list[str], typer.Argument(metavar="NAME=VALUE", help="The pipeline's parameters.")],
    pipeline_root: Annotated[Path, pipeline_root_option("Where artifacts, data and models go.")] = Path("outputs"),
) -> None:
    """Runs the pipeline on this machine, with no cluster and no Docker.

    The parameters are those of the pipeline: see `python -m pipeline parameters`. The source must be given:
    kaggle:<competition>, dir:<folder or gs://...> with train.csv and images, or synthetic:<number of samples>.

    What a run has finished is found again by its content: after an interruption the same command carries on, and on unchanged
    data it says so in a minute. Each run writes a page, run.html, with all that it did.

    Example: python -m pipeline run source=dir:my_images image_size_px=149 epochs=20 weights=none
    """
    try:
        parameters = load_parameters()
        given = parse_arguments(arguments, parameters)
        if "source" not in given:
            raise ValueError("source is required, such as source=dir:<folder> or source=synthetic:450")
        located = default_locations(given, pipeline_root)
        if "weights" not in located:
            located["weights"], reason = default_weights(located.get("recipe", parameters["recipe"].default))
            if reason:
                _console.print(f"Training starts from random weights (weights=none): {escape(reason)}.", soft_wrap=True)
        with _StepView() as view:
            finished = run_pipeline(located, pipeline_root, view.show)
    except (ValueError, OSError, StepFailedError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Stopped. The same command carries on from here.", code=130)
    _summarise(finished)


@app.command()
def preview(
    source: Annotated[str, typer.Argument(help="As the pipeline's parameter source, such as dir:<folder> or synthetic:28.")],
    out: Annotated[Path, typer.Option(help="The PNG file to write; an older one is replaced.")] = Path("preview.png"),
    by_class: Annotated[bool, typer.Option("--by-class", help="One sample for each class, instead of the first 28.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The series of synthetic samples.")] = 0,
    classes: Annotated[str, typer.Option(help="Your own classes: a CSV file with the columns index,name.")] = "",
    file_pattern: Annotated[str, typer.Option(help=FILE_PATTERN_HELP)] = DEFAULT_PATTERN,
    filters: Annotated[str, typer.Option(help=FILTERS_HELP)] = "",
) -> None:
    """A look before a run: draws a contact sheet of a source's samples with their labels, and lists what a run would leave out.

    Example: python -m pipeline preview synthetic:28 --by-class --out sheet.png
    """
    try:
        refuse_folder(out, "--out")
        located = default_locations({"source": source, "classes": classes}, Path())
    except ValueError as error:
        _fail(str(error))
    options = ["--out", str(out.resolve()), "--seed", str(seed), *(["--by-class"] if by_class else [])]
    own = [f"--classes={located['classes']}", f"--file-pattern={file_pattern}", f"--filters={filters}"]
    run_module("components.preview", located["source"], *options, *own)


@app.command(no_args_is_help=True)
def example(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    samples: Annotated[int, typer.Option(min=MIN_SYNTHETIC_SAMPLES, help="How many samples to draw.")] = 96,
) -> None:
    """Draws a small folder of images as your own may be: with its own classes, stains and file names.

    docs/own-data.md shows what to do with it.

    Example: python -m pipeline example my_images
    """
    run_module("components.synthetic.example", absolute(str(folder)), "--samples", str(samples))


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest examples and trainings stay.")],
    pipeline_root: Annotated[Path, pipeline_root_option("As of `run`: where data and models are by default.")] = Path(
        "outputs"
    ),
    data_root: Annotated[str, typer.Option(help="As the parameter data_root, if it is another place.")] = "",
    serving_root: Annotated[str, typer.Option(help="As the parameter serving_root, if it is another place.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
) -> None:
    """Removes old examples, trainings and evaluations, but nothing that a served champion came from, and no raw images.

    Example: python -m pipeline prune --keep 3 --dry-run
    """
    places = find_places(pipeline_root, "data_root", "serving_root", data_root=data_root, serving_root=serving_root)
    run_module("components.serving.prune", *places, "--keep", str(keep), *(["--dry-run"] if dry_run else []))


app.command(no_args_is_help=True)(predict)
app.command()(preflight)
app.command(no_args_is_help=True)(submit.submit)
app.command(no_args_is_help=True)(lineage)
join_paragraphs(app)


class _StepView:
    """Shows what steps say: their progress in one line that is redrawn, in a terminal; as plain lines elsewhere."""

    def __init__(self) -> None:
        self._step, self._started_s = "", time.monotonic()
        self._status = _console.status("starting") if _console.is_terminal else None

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
            _console.print(f"[bold]step {steps.index(step) + 1}/{len(steps)}: {step}[/] [dim]({elapsed_s:.0f} s)[/]")
            if self._status:
                self._status.update(step)
        elif self._status and ", ETA " in text:
            self._status.update(f"{step}: {escape(text)}")
        else:
            _console.print(f"  {escape(text)}", soft_wrap=True)


def _summarise(finished: LocalRun) -> None:
    verdict = finished.read_json("evaluate", "blessing")
    judged_on = count_of(verdict["num_samples"], f"{verdict['judged_on']} sample")
    table = Table("Metric", judged_on, "floor", "the floor is", box=None)  # what 80 columns hold
    for figure in finished.figures():
        table.add_row(figure.title, f"{figure.value:.3f}", f"{figure.floor:.3f}", figure.floor_title)
    _console.print()
    _console.print(table)
    _console.print()
    _console.print(escape(finished.outcome()), soft_wrap=True)
    if reused := finished.reused_steps():
        _console.print(f"Found again, as nothing changed that they depend on: {', '.join(reused)}", soft_wrap=True)
    for page in ("evaluation_report", "training_report", "data_report"):
        _console.print(f"{page.replace('_', ' ').capitalize()}: {finished.folder / page}.html", soft_wrap=True)
    _console.print(f"The page of this run: {finished.folder / RUN_PAGE}", soft_wrap=True)


def _fail(message: str, code: int = 1) -> NoReturn:
    _errors.print(escape(message), style="red", soft_wrap=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app(prog_name="python -m pipeline")
