"""The table of samples that is published with examples."""

import csv
import gzip
import io

from components import storage
from components.artifacts.manifest import SAMPLES, Examples


def read_column(examples: Examples, column: str) -> dict[str, str]:
    """What the table says of each sample id: its `split`, or its `group` of near-duplicates, say.

    Args:
        examples: The manifest as it was published: a local copy has no table of samples.
        column: The column's name.

    Raises:
        ValueError: If the table has no such column.
    """
    uri = examples.file_uri(SAMPLES)
    rows = csv.DictReader(io.StringIO(gzip.decompress(storage.read_bytes(uri)).decode(), newline=""))
    if not {"id", column} <= set(rows.fieldnames or ()):
        raise ValueError(
            f"{uri}: expected the columns id and {column}. Received: {rows.fieldnames}. These examples are of an older "
            f"version: delete {examples.uri} and run again"
        )
    return {row["id"]: row[column] for row in rows}
