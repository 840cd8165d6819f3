"""`prune`: frees space by removing old outputs."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from components.artifacts.parameters import check_parameters
from pipeline.commands.options import DataRoot, ServingRoot, existing_roots, pipeline_root_option
from pipeline.commands.output import reported


def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest examples and training runs to keep.")],
    pipeline_root: Annotated[Path, pipeline_root_option("As for `run`: the default location of data and models.")] = Path(
        "outputs"
    ),
    data_root: DataRoot = "",
    serving_root: ServingRoot = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
) -> None:
    """Removes old examples, training runs and evaluations, but never a champion's lineage or raw images.

    Also removes unfinished files of killed runs: those beside the outputs, and those in this machine's TMPDIR, including the
    copies of archives that an interrupted run would resume from. Files in use are kept.

    Example: python -m pipeline prune --keep 3 --dry-run
    """
    with reported("Stopped. The remaining outputs are intact."):
        data_root, serving_root = existing_roots(
            pipeline_root, "data_root", "serving_root", data_root=data_root, serving_root=serving_root
        )
        from components import storage
        from components.runtime.scratch import find_left, remove_abandoned
        from components.runtime.wording import count_of, size_of
        from components.serving.prune import champions, choose, find_outputs, remove

        check_parameters(data_root=data_root, serving_root=serving_root)
        outputs = find_outputs(data_root)
        goes = choose(outputs, champions(serving_root), keep)
        left = {*find_left(), *storage.find_unfinished(data_root), *storage.find_unfinished(serving_root)}
        removals = {output.uri: partial(remove, output) for output in goes}
        removals |= {str(place): partial(remove_abandoned, place) for place in sorted(left)}
        sizes: list[int] = []
        for uri, remove_it in removals.items():
            found = [file.num_bytes for file in storage.list_files(uri, is_deep=True).values()]
            print(f"{'would remove' if dry_run else 'removing'} {uri}: {count_of(len(found), 'file')}, {size_of(sum(found))}")
            sizes += found
            if not dry_run:
                remove_it()
    of_runs = f" and {count_of(len(left), 'folder')} of killed runs" if left else ""
    freed = f"{'would be ' if dry_run else ''}removed: {count_of(len(sizes), 'file')}, {size_of(sum(sizes))}"
    print(f"{len(goes)} of {len(outputs)} outputs{of_runs} {freed}")
