"""Opens the source that the parameter `source` names."""

import contextlib
from collections.abc import Iterator, Sequence

from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.artifacts.parameters import parse_synthetic
from components.ingest.archive.spool import Spool
from components.ingest.sources.folder import Folder
from components.ingest.sources.kaggle import KaggleCompetition
from components.ingest.sources.label_table import USUAL_TABLE, LabelTable
from components.ingest.sources.source import Source
from components.ingest.sources.synthetic import Synthetic


@contextlib.contextmanager
def open_source(
    source: str,
    class_names: Sequence[str],
    include_test: bool = False,
    image_names: ImageNames = COMPETITION_NAMES,
    table: LabelTable = USUAL_TABLE,
) -> Iterator[Source]:
    """Opens the source that a parameter such as `dir:/data/cells` or `synthetic:450@3` names.

    Its copies on disk are removed at the end, unless the same command would resume from them: see `Spool`.

    Raises:
        ValueError: If there is no such kind of source, or no such series.
        OSError: If it does not exist or cannot be reached.
    """
    kind, _, rest = source.partition(":")
    if kind == "kaggle":
        with Spool(f"kaggle-{rest}") as spool:
            yield KaggleCompetition(rest, class_names, spool, include_test, table)
    elif kind == "dir":
        yield Folder(rest, class_names, include_test, image_names, table)
    elif kind == "synthetic":
        yield Synthetic(*parse_synthetic(rest))
    else:
        raise ValueError(
            "Expected the source kaggle:<competition>, dir:<folder> or synthetic:<number of samples>[@<series>]. "
            f"Received: source={source}"
        )
