"""The command `python -m pipeline lineage`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.local import absolute, default_locations
from pipeline.modules import run_module
from pipeline.places import pipeline_root_option
from pipeline.run_record import RUN_RECORD, RunRecord


def lineage(
    target: Annotated[
        str,
        typer.Argument(help="The folder of a run, of a version (or gs://...), or of a model: its champion."),
    ],
    data_root: Annotated[str, typer.Option(help="As the parameter data_root; a run's folder knows its own.")] = "",
    pipeline_root: Annotated[Path, pipeline_root_option("As of `run`: where data is by default.")] = Path("outputs"),
) -> None:
    """Walks from a pushed model, or from a run, to its images: evaluation, training, examples, raw images, source.

    Each has its fingerprint, counts, parameters, licence and date. What is missing or damaged is named; the status is 1 then.

    Example: python -m pipeline lineage outputs/serving/hpa
    """
    target = absolute(target)
    given = {"data_root": data_root} if data_root else {}
    if not given and (Path(target) / RUN_RECORD).is_file():
        try:
            given = {"data_root": RunRecord.read(Path(target)).arguments["data_root"]}
        except (ValueError, KeyError) as error:
            raise typer.BadParameter(f"{error}. Give --data-root", param_hint="target") from None
    located = default_locations(given, pipeline_root)
    run_module("components.serving.lineage", target, located["data_root"])
