"""The source `dir:<folder>`: a folder of this machine or of Cloud Storage, in the competition's layout."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.ingest.sources.labels_csv import read_labels
from components.ingest.sources.layout import LABELS, TEST, TRAIN, by_sample, join_labels
from components.ingest.sources.source import Listed, SourceImage, cut
from components.shared import storage
from components.shared.storage import StoredFile


@dataclass
class Folder:
    """`train.csv` with the columns Id and Target, and `<Id>_<filter>.png` beside it or in the folder `train`.

    Raises:
        FileNotFoundError: If the folder or train.csv does not exist.
        ValueError: If train.csv is wrong as a whole, or no row of it has an image.
    """

    uri: str
    num_classes: int
    include_test: bool = False
    num_without_files: int = field(init=False, default=0)
    num_unlabelled: int = field(init=False, default=0)
    is_drawn: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if storage.is_local(self.uri):
            self.uri = str(Path(self.uri).resolve())
        self._labels_uri = storage.join(self.uri, LABELS)
        if not storage.exists(self._labels_uri):
            raise FileNotFoundError(f"{self._labels_uri}: expected the label file, with the columns Id,Target; there is none")
        self._files: dict[str, StoredFile] = {}
        present = self._list(TRAIN) or self._list()
        unlabelled = self._list(TEST)
        self.num_unlabelled = len(unlabelled)
        if not self.include_test:
            unlabelled = {}
        self._uris = unlabelled | present
        rows = read_labels(storage.read_bytes(self._labels_uri), self._labels_uri, self.num_classes)
        self._listed, self.num_without_files = join_labels(rows, present, unlabelled, self.uri)

    def _list(self, *parts: str) -> dict[str, dict[str, str]]:
        """The URIs of the images in a folder below this one, by sample and filter."""
        folder = storage.join(self.uri, *parts)
        files = storage.list_files(folder)
        found = {sample: {k: storage.join(folder, v) for k, v in names.items()} for sample, names in by_sample(files).items()}
        self._files |= {storage.join(folder, name): file for name, file in files.items()}
        return found

    @property
    def name(self) -> str:
        """The folder's own name, and a hash of its full path: two folders of one name do not mix."""
        own = self.uri.rstrip("/").rpartition("/")[2]
        return f"dir-{own[:64] or 'root'}-{hashlib.sha256(self.uri.encode()).hexdigest()[:8]}"

    @property
    def licence(self) -> str:
        """What a folder cannot say."""
        return "as the owner of the folder states; images of the Human Protein Atlas are CC BY-SA, credit: Human Protein Atlas"

    def validator(self) -> str:
        """Names, sizes and checksums of all files; where nobody knows their checksums, modification times stand in for them."""
        digest = hashlib.sha256(f"{self.num_classes}\n{self.include_test}\n".encode())
        for uri in sorted([self._labels_uri, *(uri for files in self._uris.values() for uri in files.values())]):
            file = self._files.get(uri) or storage.stat(uri)
            assert file is not None
            known = file.crc32c or Path(uri).stat().st_mtime_ns
            digest.update(f"{uri.removeprefix(self.uri)}\0{file.num_bytes}\0{known}\n".encode())
        return f"files:{digest.hexdigest()}"

    def listed(self) -> list[Listed]:
        """The rows of train.csv that have at least one image, or that are wrong; and the test set, if it was asked for."""
        return self._listed

    def chunks(self) -> Iterator[list[SourceImage]]:
        """The images in the order of train.csv."""
        good = (row.sample_id for row in self._listed if not row.reason)
        return cut(SourceImage(s, name, self._files[uri]) for s in good for name, uri in self._uris[s].items())

    def read(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Reads the files as they are."""
        for image in images:
            yield image, storage.read_bytes(self._uris[image.sample_id][image.filter])
