"""The commands on served models: `python -m pipeline models`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.modules import run_module
from pipeline.places import find_places, pipeline_root_option

app = typer.Typer(no_args_is_help=True, help="Lists, verifies and takes back the versions of a served model.")

_PipelineRoot = Annotated[Path, pipeline_root_option("As of `run`: where models are by default.")]
_ServingRoot = Annotated[str, typer.Option(help="As the parameter serving_root, if it is another place.")]
_ModelName = Annotated[str, typer.Option(help="As the parameter model_name.")]


@app.command("list")
def list_command(
    pipeline_root: _PipelineRoot = Path("outputs"), serving_root: _ServingRoot = "", model_name: _ModelName = "hpa"
) -> None:
    """Lists the versions of a model, the newest first, and which one is the champion."""
    _run("list", pipeline_root, serving_root, model_name)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(min=1, help="The number of the version that shall be served again.")],
    pipeline_root: _PipelineRoot = Path("outputs"),
    serving_root: _ServingRoot = "",
    model_name: _ModelName = "hpa",
) -> None:
    """Makes an old version the champion again: it is copied to a new highest version, which is what gets served.

    Example: python -m pipeline models rollback 3
    """
    _run("rollback", pipeline_root, serving_root, model_name, "--version", str(version))


@app.command()
def verify(
    pipeline_root: _PipelineRoot = Path("outputs"), serving_root: _ServingRoot = "", model_name: _ModelName = "hpa"
) -> None:
    """Compares every file of every version with the checksums that were recorded when it was pushed."""
    _run("verify", pipeline_root, serving_root, model_name)


def _run(action: str, pipeline_root: Path, serving_root: str, model_name: str, *options: str) -> None:
    places = find_places(pipeline_root, "serving_root", serving_root=serving_root)
    run_module("components.serving.inspection", action, *places, model_name, *options)
