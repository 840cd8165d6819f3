"""Copies files of an object store to local disk, for libraries that read only local files."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import storage
from components.runtime.progress import progress_bar
from components.runtime.scratch import scratch_folder
from components.storage.store import StoredFile


@contextlib.contextmanager
def local_copy(uri: str, files: Mapping[str, StoredFile]) -> Iterator[str]:
    """Yields a local folder that holds the given files, verified by their checksums.

    A local folder is used directly. Files of an object store are downloaded to a temporary folder: see
    `components.runtime.scratch`.

    Args:
        uri: The folder.
        files: The size and the CRC-32C of each file, by relative path.

    Raises:
        OSError: If a file is missing or damaged, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        folder = uri
        if not storage.is_local(uri):
            folder = str(stack.enter_context(scratch_folder()))
        with progress_bar(sum(file.num_bytes for file in files.values()), "B") as progress:

            def bring(name: str) -> None:
                file_uri, path = storage.join(uri, name), Path(folder, name)
                if folder != uri:
                    storage.fetch(file_uri, path)
                if storage.file_crc32c(path) != files[name].crc32c:
                    raise OSError(f"{file_uri} is damaged: expected the CRC-32C {files[name].crc32c}. Delete it and run again")
                progress.update(files[name].num_bytes)

            storage.for_each(bring, files)
        yield folder
