"""The arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.compiled import PIPELINE_YAML
from pipeline.local import default_locations

HOST_VARIABLES = ["KFP_HOST", "KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"]

Arguments = Annotated[list[str], typer.Argument(metavar="NAME=VALUE", help="The pipeline's parameters.")]

FilePattern = Annotated[
    str, typer.Option(help="How the images are named: {id} is the sample, {filter} the stain if each has a file, * any text.")
]
Filters = Annotated[
    str, typer.Option(help="The stains' names in file names, or their channels, such as red=tubulin,green=2,blue=DAPI.")
]
Channels = Annotated[str, typer.Option(help="The pipeline's channels: rgb, rgby, or the names of the stains.")]
IntensityRange = Annotated[
    str,
    typer.Option(
        help="The grey levels that become 0 and 255, as LOW:HIGH, such as 0:4095; one range, or one for each stain.",
        show_default=False,
    ),
]


class PredictionPrecision(StrEnum):
    """The precision of predictions."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


Precision = Annotated[
    PredictionPrecision | None,
    typer.Option(
        help="float32 or bfloat16; by default the one the model was judged in, see serving_precision.", show_default=False
    ),
]
Projection = Annotated[str, typer.Option(help="How a stack becomes one plane: max, mean, sum or middle.", show_default=False)]

Labels = Annotated[str, typer.Option(help="The pipeline's labels: the table of labels, by default train.csv.")]
IdColumn = Annotated[str, typer.Option(help="The pipeline's id_column: the table's column of ids.")]
LabelColumn = Annotated[str, typer.Option(help="The pipeline's label_column: the table's column of labels.")]
GroupColumn = Annotated[str, typer.Option(help="The pipeline's group_column: the table's column of groups.")]
FirstClass = Annotated[int, typer.Option(help="The pipeline's first_class: the number of the first class in the labels.")]

DataRoot = Annotated[str, typer.Option(help="The pipeline's data_root, if it is not below --pipeline-root.")]
ServingRoot = Annotated[str, typer.Option(help="The pipeline's serving_root, if it is not below --pipeline-root.")]

Host = Annotated[
    str,
    typer.Option(
        envvar=HOST_VARIABLES,
        help="The address of Kubeflow Pipelines; by default the cluster that this runs in, or the current kubectl context's.",
        show_default=False,
    ),
]
Namespace = Annotated[
    str, typer.Option(envvar="KFP_NAMESPACE", help="Your namespace on a multi-user server.", show_default=False)
]
Experiment = Annotated[str, typer.Option(help="The experiment of the runs; created if it does not exist.")]
ServiceAccount = Annotated[
    str, typer.Option(help="The Kubernetes service account of the pods; by default the cluster's.", show_default=False)
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end of the run, and fail if it fails.")]

File = Annotated[Path, typer.Option(help="The compiled pipeline.", show_default=PIPELINE_YAML.name)]
Registry = Annotated[str, typer.Option(help="As for `compile`: the registry of the images.", show_default=False)]
Tag = Annotated[str, typer.Option(help="As for `compile`: the images' tag.", show_default=False)]
Digests = Annotated[Path | None, typer.Option(help="As for `compile`: pins the images.", show_default=False)]


def pipeline_root_option(meaning: str) -> Any:
    """The option --pipeline-root, a folder on this machine."""
    return typer.Option(parser=_read_local_folder, metavar="<path>", help=meaning)


def _read_local_folder(text: str | Path) -> Path:
    if "://" in str(text):
        raise typer.BadParameter(
            f"expected a folder on this machine, where runs write their pages and logs. Received: {text}. Data and models may "
            "be elsewhere: data_root=gs://... serving_root=gs://... for `run`, --data-root and --serving-root for the others"
        )
    return Path(text).expanduser().resolve()


def existing_roots(pipeline_root: Path, *wanted: str, **given: str) -> list[str]:
    """Finds the data or models of runs, and refuses a folder that does not exist, as it may be mistyped.

    Args:
        pipeline_root: The folder above them by default.
        *wanted: Which of `data_root` and `serving_root`.
        **given: The values of the options; empty if not given.

    Raises:
        ValueError: If a folder does not exist.
    """
    named = {name: root for name, root in given.items() if root}
    located = default_locations(named, pipeline_root)
    for name in wanted:
        folder, option = (located[name], name) if name in named else (str(pipeline_root), "pipeline_root")
        if "://" not in folder and not Path(folder).is_dir():
            raise ValueError(
                f"--{option.replace('_', '-')}: expected a folder that a run has written to, but there is no folder {folder}"
            )
    return [located[name] for name in wanted]
