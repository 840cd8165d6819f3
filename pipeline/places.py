"""Where commands look for what runs have left behind."""

from pathlib import Path
from typing import Any

import typer

from pipeline.local import default_locations


def pipeline_root_option(meaning: str) -> Any:
    """The option --pipeline-root, which is a folder of this machine."""
    return typer.Option(parser=_read_local_folder, metavar="<path>", help=meaning)


def _read_local_folder(text: str | Path) -> Path:
    if "://" in str(text):
        raise typer.BadParameter(
            f"expected a folder of this machine, as runs leave their pages and logs there. Received: {text}. Data and models "
            "may be elsewhere: data_root=gs://... serving_root=gs://... of a run, --data-root and --serving-root of the rest"
        )
    return Path(text).expanduser().resolve()


def find_places(pipeline_root: Path, *wanted: str, **given: str) -> list[str]:
    """Where data or models are. A mistyped folder would look like one without any.

    Args:
        pipeline_root: Where they are by default.
        *wanted: Which of data_root and serving_root.
        **given: Those that are named; an empty one is not.

    Raises:
        typer.Exit: If a folder does not exist.
    """
    named = {name: place for name, place in given.items() if place}
    located = default_locations(named, pipeline_root)
    for name in wanted:
        folder, option = (located[name], name) if name in named else (str(pipeline_root), "pipeline_root")
        if "://" not in folder and not Path(folder).is_dir():
            typer.secho(
                f"--{option.replace('_', '-')}: expected the folder that a run has written to. There is no folder {folder}",
                err=True,
                fg="red",
            )
            raise typer.Exit(1)
    return [located[name] for name in wanted]
