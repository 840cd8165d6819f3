"""`prune`: frees space by removing old outputs."""

from pathlib import Path
from typing import Annotated

import typer

from components.artifacts.parameters import check_parameters
from pipeline.commands.options import DataRoot, ServingRoot, existing_roots, pipeline_root_option
from pipeline.commands.output import reported


def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest examples and trainings to keep.")],
    pipeline_root: Annotated[Path, pipeline_root_option("As for `run`: the default location of data and models.")] = Path(
        "outputs"
    ),
    data_root: DataRoot = "",
    serving_root: ServingRoot = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Removes old examples, trainings and evaluations, but never a champion's lineage or raw images.

    Example: python -m pipeline prune --keep 3 --dry-run
    """
    with reported("Stopped. The remaining outputs are intact."):
        data_root, serving_root = existing_roots(
            pipeline_root, "data_root", "serving_root", data_root=data_root, serving_root=serving_root
        )
        from components.serving.prune import champions, choose, find_outputs, remove

        check_parameters(data_root=data_root, serving_root=serving_root)
        outputs = find_outputs(data_root)
        goes = choose(outputs, champions(serving_root), keep)
        for output in goes:
            print(f"{'would remove' if dry_run else 'removing'} {output.uri}")
            if not dry_run:
                remove(output)
    print(f"{len(goes)} of {len(outputs)} outputs {'would be ' if dry_run else ''}removed")
