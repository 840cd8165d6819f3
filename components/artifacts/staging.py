"""Brings examples from an object store to local disk: TensorFlow reads files."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from components import storage
from components.artifacts.manifest import Examples, Shard
from components.runtime.progress import progress_bar


@contextlib.contextmanager
def staged(examples: Examples, splits: Sequence[str]) -> Iterator[Examples]:
    """Gives the same examples with the shards of some sides of the split on local disk, each verified by its checksum.

    Examples that are on this machine are given as they are. Others are downloaded to a temporary folder (below TMPDIR), and
    removed again at the end.

    Raises:
        FileNotFoundError: If shards are missing or cut off.
        OSError: If one is damaged, or the disk is full.
    """
    if missing := examples.missing_shards():
        raise FileNotFoundError(
            f"{examples.uri}: {len(missing)} shards are missing or cut off, such as {missing[0]}. Run again"
        )
    if storage.is_local(examples.uri):
        yield examples
        return
    shards = [shard for split in splits for shard in examples.shards[split]]
    with tempfile.TemporaryDirectory(prefix="examples-") as folder:
        with progress_bar(sum(shard.num_bytes for shard in shards), "B") as progress:

            def stage(shard: Shard) -> None:
                uri, path = storage.join(examples.uri, shard.name), Path(folder) / shard.name
                storage.fetch(uri, path)
                if storage.file_crc32c(path) != shard.crc32c:
                    raise OSError(f"{uri} is damaged: expected the CRC-32C {shard.crc32c}. Delete it and run again")
                progress.update(shard.num_bytes)

            storage.for_each(stage, shards)
        yield examples.model_copy(update={"uri": folder})
