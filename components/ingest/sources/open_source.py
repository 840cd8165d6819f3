"""Which source the parameter `source` names."""

from collections.abc import Sequence

from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.artifacts.parameters import parse_synthetic
from components.ingest.sources.folder import Folder
from components.ingest.sources.kaggle import KaggleCompetition
from components.ingest.sources.label_table import USUAL_TABLE, LabelTable
from components.ingest.sources.source import Source
from components.ingest.sources.synthetic import Synthetic


def open_source(
    source: str,
    class_names: Sequence[str],
    include_test: bool = False,
    image_names: ImageNames = COMPETITION_NAMES,
    table: LabelTable = USUAL_TABLE,
) -> Source:
    """Opens the source that a parameter such as `dir:/data/cells` or `synthetic:450@3` names.

    Raises:
        ValueError: If there is no such kind of source, or no such series.
        OSError: If it is not there, or cannot be reached.
    """
    kind, _, rest = source.partition(":")
    if kind == "kaggle":
        return KaggleCompetition(rest, class_names, include_test, table)
    if kind == "dir":
        return Folder(rest, class_names, include_test, image_names, table)
    if kind == "synthetic":
        return Synthetic(*parse_synthetic(rest))
    raise ValueError(
        "Expected the source kaggle:<competition>, dir:<folder> or synthetic:<number of samples>[@<series>]. "
        f"Received: source={source}"
    )
