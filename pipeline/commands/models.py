"""`models`: manages the versions of a served model."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.artifacts.parameters import check_parameters
from pipeline.commands.options import ServingRoot, existing_roots, pipeline_root_option
from pipeline.commands.output import reported

if TYPE_CHECKING:
    from components.serving.inspection import Finding

app = typer.Typer(no_args_is_help=True, help="Lists, verifies and rolls back the versions of a served model.")

_PipelineRoot = Annotated[Path, pipeline_root_option("As for `run`: the default location of models.")]
_ModelName = Annotated[str, typer.Option(help="The pipeline's model_name.")]


@app.command("list")
def list_command(
    pipeline_root: _PipelineRoot = Path("outputs"), serving_root: ServingRoot = "", model_name: _ModelName = "hpa"
) -> None:
    """Lists the versions of a model, the newest first, and which one is the champion."""
    with reported():
        from components.serving.inspection import list_models

        _show(list_models, pipeline_root, serving_root, model_name)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(min=1, help="The number of the version to serve again.")],
    pipeline_root: _PipelineRoot = Path("outputs"),
    serving_root: ServingRoot = "",
    model_name: _ModelName = "hpa",
) -> None:
    """Makes an old version the champion again, by copying it to a new highest version.

    Example: python -m pipeline models rollback 3
    """
    with reported():
        from components.serving.inspection import report_rollback

        _show(lambda root, name: [report_rollback(version, root, name)], pipeline_root, serving_root, model_name)


@app.command()
def verify(
    pipeline_root: _PipelineRoot = Path("outputs"), serving_root: ServingRoot = "", model_name: _ModelName = "hpa"
) -> None:
    """Compares every file of every version with the checksums recorded when it was pushed."""
    with reported():
        from components.serving.inspection import verify_models

        _show(verify_models, pipeline_root, serving_root, model_name)


def _show(inspect: Callable[[str, str], list["Finding"]], pipeline_root: Path, serving_root: str, model_name: str) -> None:
    """Prints the findings of an inspection, and fails if there is a problem."""
    (root,) = existing_roots(pipeline_root, "serving_root", serving_root=serving_root)
    check_parameters(serving_root=root, model_name=model_name)
    from components.runtime.progress import log_lines

    with log_lines("%(message)s"):
        findings = inspect(root, model_name)
    print("\n".join(finding.text for finding in findings) or f"{root.rstrip('/')}/{model_name}: no version yet")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)
