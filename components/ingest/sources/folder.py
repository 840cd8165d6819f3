"""The source `dir:<folder>`: a local folder, or one in an object store, with a table of labels and images."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, TEST, TRAIN, ImageNames, parse_filters
from components.artifacts.labels import FILTERS
from components.images.image_files import list_images, read_image_file, stored_suffix
from components.ingest.sources.classes_csv import CLASSES
from components.ingest.sources.join_labels import join_labels
from components.ingest.sources.label_table import LABELS, USUAL_TABLE, LabelTable, read_labels
from components.ingest.sources.source import Listed, SourceImage, cut
from components.runtime.wording import count_of
from components.storage.store import StoredFile


@dataclass
class Folder:
    """A table of labels, and images anywhere in the folder, or in its folder `train`.

    Raises:
        FileNotFoundError: If the folder or the table does not exist.
        ValueError: If the table is invalid, none of its rows has an image, or two files are the same image.
    """

    uri: str
    class_names: Sequence[str]
    include_test: bool = False
    image_names: ImageNames = COMPETITION_NAMES
    table: LabelTable = USUAL_TABLE
    num_without_files: int = field(init=False, default=0)
    num_unlabelled: int = field(init=False, default=0)
    is_synthetic: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if storage.is_local(self.uri):
            self.uri = str(Path(self.uri).resolve())
        file = self.table.file or LABELS
        self._labels_uri = file if "://" in file or file.startswith("/") else storage.join(self.uri, file)
        if not storage.exists(self._labels_uri):
            raise FileNotFoundError(f"{self._labels_uri}: expected the table of labels. {self._instead()}")
        self._files: dict[str, StoredFile] = {}
        present = self._list(TRAIN) or self._list()
        if not present:
            raise ValueError(self._no_images())
        self._check_filters(present)
        unlabelled = self._list(TEST)
        self.num_unlabelled = len(unlabelled)
        if not self.include_test:
            unlabelled = {}
        self._uris = unlabelled | present
        data = storage.read_bytes(self._labels_uri)
        rows = read_labels(data, self._labels_uri, self.class_names, self.table, self.image_names)
        table_name = self._labels_uri.rpartition("/")[2]
        self._listed, self.num_without_files = join_labels(rows, table_name, present, unlabelled, self.uri, self.image_names)

    def _list(self, *parts: str) -> dict[str, dict[str, str]]:
        """The URIs of the images anywhere in this folder, by sample and filter. The test set is listed separately."""
        folder = storage.join(self.uri, *parts)
        files = list_images(folder)
        named = self.image_names.by_sample(name for name in files if parts or not name.startswith(f"{TEST}/"))
        found = {sample: {k: storage.join(folder, v) for k, v in names.items()} for sample, names in named.items()}
        self._files |= {uri: files[uri.removeprefix(folder).lstrip("/")] for uris in found.values() for uri in uris.values()}
        return found

    def _instead(self) -> str:
        """Suggests another table of labels."""
        names = storage.list_names(self.uri)
        tables = [name for name in names if name.lower().endswith((".csv", ".tsv", ".txt", ".xlsx")) and name != CLASSES]
        if tables:
            return f"There is {tables[0]}: if it has the labels, give labels={tables[0]}"
        return "There is no table: put one there, or give labels=<file> with its full path or address"

    def _check_filters(self, present: Mapping[str, Mapping[str, str]]) -> None:
        """Refuses a named stain that no file has."""
        if self.image_names.filters and not self.channels:
            found = set().union(*present.values())
            for name, own in parse_filters(self.image_names.filters, self.stains).items():
                if name not in found:
                    raise ValueError(
                        f"{self.uri}: expected files of the stain {own}, which filters names. "
                        f"Received: {len(self._files)} images of other stains. Correct filters or file_pattern"
                    )

    def _no_images(self) -> str:
        """The error that shows which files were expected, and which exist."""
        tables = (storage.join(self.uri, CLASSES), self._labels_uri)
        others = [name for name in list_images(self.uri) if storage.join(self.uri, name) not in tables]
        found = f"{count_of(len(others), 'other file')}, such as {others[len(others) // 2]}" if others else "no file at all"
        if self.image_names == COMPETITION_NAMES:
            how = "If your files have other names, give file_pattern and filters"
        else:
            how = f"file_pattern is {self.image_names.pattern}, and filters is {self.image_names.filters or 'not given'}"
        needed = self.image_names.options_for(others, "file_pattern={}")
        advice = f". Such files need {needed}" if needed else ""
        return (
            f"{self.uri}: no image here has an expected name, such as {self.image_names.example()}. "
            f"Received: {found}. {how}{advice}: see docs/image-files.md"
        )

    @property
    def stains(self) -> tuple[str, ...]:
        """The stains that the parameter channels names."""
        return self.image_names.stains

    @property
    def channels(self) -> dict[str, str]:
        """The channel of each filter in a file, by file_pattern and filters."""
        return self.image_names.channels

    @property
    def name(self) -> str:
        """The folder's name and a hash of its full path, so that folders of the same name do not mix."""
        own = self.uri.rstrip("/").rpartition("/")[2]
        return f"dir-{own[:64] or 'root'}-{hashlib.sha256(self.uri.encode()).hexdigest()[:8]}"

    @property
    def licence(self) -> str:
        """A general statement, because a folder does not state its licence."""
        return "as the owner of the folder states; images of the Human Protein Atlas are CC BY-SA, credit: Human Protein Atlas"

    def validator(self) -> str:
        """A hash of the name, size and checksum of each file; of its modification time or ETag if the checksum is unknown."""
        stains = "" if self.stains == FILTERS else f"{self.stains}\n"
        digest = hashlib.sha256(
            f"{stains}{list(self.class_names)}\n{self.include_test}\n{self.image_names}\n{self.table}\n".encode()
        )
        for uri in sorted([self._labels_uri, *(uri for files in self._uris.values() for uri in files.values())]):
            file = self._files.get(uri) or storage.stat(uri)
            assert file is not None
            known = file.crc32c or file.version
            digest.update(f"{uri.removeprefix(self.uri)}\0{file.num_bytes}\0{known}\n".encode(errors="surrogateescape"))
        return f"files:{digest.hexdigest()}"

    def listed(self) -> list[Listed]:
        """The rows of the table that have an image or are invalid, and the test set if it was requested."""
        return self._listed

    def chunks(self) -> Iterator[list[SourceImage]]:
        """The images in the order of the table."""
        good = (row.sample_id for row in self._listed if not row.reason)
        return cut(
            SourceImage(sample_id, name, self._files[uri], stored_suffix(uri))
            for sample_id in good
            for name, uri in self._uris[sample_id].items()
        )

    def path(self, image: SourceImage) -> str:
        """The path of the file relative to the folder."""
        return self._uris[image.sample_id][image.filter].removeprefix(self.uri).lstrip("/")

    def read(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Reads the files unchanged."""
        for image in images:
            yield image, read_image_file(self._uris[image.sample_id][image.filter])
