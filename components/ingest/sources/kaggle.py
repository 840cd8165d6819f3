"""The source `kaggle:<competition>`: a Kaggle competition's archive, read remotely, image by image."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from components.artifacts.image_names import COMPETITION_NAMES, TEST, TRAIN
from components.artifacts.labels import FILTERS
from components.ingest.archive.directory import Member
from components.ingest.archive.remote import RemoteFile
from components.ingest.archive.spool import Spool
from components.ingest.archive.zip_archive import Archive, open_archive
from components.ingest.sources.join_labels import join_labels
from components.ingest.sources.kaggle_access import find_archive, licence
from components.ingest.sources.label_table import LABELS, USUAL_TABLE, LabelTable, read_labels
from components.ingest.sources.source import Listed, SourceImage, cut
from components.storage.store import StoredFile


class _Contents(NamedTuple):
    """An archive's label file, and its images by sample and filter."""

    labels: Member
    train: dict[str, dict[str, Member]]
    test: dict[str, dict[str, Member]]


class KaggleCompetition:
    """A competition's archive, in the layout of the Human Protein Atlas competition.

    Opening it downloads only the archive's directory and its label file.

    Raises:
        PermissionError: If Kaggle rejects the credentials, or the user has not accepted the competition's rules.
        FileNotFoundError: If there is no such competition.
        ValueError: If the archive is refused, its label file is invalid, or none of its rows has an image.
        OSError: If Kaggle cannot be reached on any attempt.
    """

    is_synthetic = False

    def __init__(
        self,
        competition: str,
        class_names: Sequence[str],
        spool: Spool,
        include_test: bool = False,
        table: LabelTable = USUAL_TABLE,
    ) -> None:
        """Opens the archive of a competition, given its name in the web address. It can be read until the spool ends."""
        self.name = f"kaggle-{competition}"
        self.licence = licence(competition)
        self._archive = open_archive(spool.readable(RemoteFile(partial(find_archive, competition))), spool)
        self._validator = f"{self._archive.validator}:{list(class_names)}:{include_test}:{table}"
        contents = _look_through(self._archive, self.name)
        self.num_unlabelled = len(contents.test)
        unlabelled = contents.test if include_test else {}
        self._members = contents.train | unlabelled
        ((_, data),) = self._archive.read([contents.labels])
        rows = read_labels(data, f"{self.name}/{LABELS}", class_names, table)
        self._listed, self.num_without_files = join_labels(
            rows, LABELS, contents.train, unlabelled, self.name, COMPETITION_NAMES
        )

    def validator(self) -> str:
        """A hash of the archive's directory, which has the size and the checksum of every file."""
        return self._validator

    def listed(self) -> list[Listed]:
        """The rows of train.csv that have an image or are invalid, and the test set if it was requested."""
        return self._listed

    def chunks(self) -> Iterator[list[SourceImage]]:
        """The images in the order of their offsets in the archive."""
        good = (row.sample_id for row in self._listed if not row.reason)
        placed = [(member, sample, name) for sample in good for name, member in self._members[sample].items()]
        placed.sort(key=lambda place: (place[0].part, place[0].offset))
        return cut(
            SourceImage(sample, name, StoredFile(member.num_bytes, crc32=f"{member.crc32:08x}"))
            for member, sample, name in placed
        )

    @property
    def stains(self) -> tuple[str, ...]:
        """The four colours."""
        return FILTERS

    @property
    def channels(self) -> dict[str, str]:
        """None: each filter has a file."""
        return {}

    def path(self, image: SourceImage) -> str:
        """The member's name."""
        return self._members[image.sample_id][image.filter].name

    def read(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Reads adjacent images with one request."""
        by_member = {self._members[image.sample_id][image.filter]: image for image in images}
        for member, data in self._archive.read(by_member):
            yield by_member[member], data
            del data  # before the next one is read


def _look_through(archive: Archive, name: str) -> _Contents:
    """Finds the label file and the images in an archive.

    Images in no folder or in a folder `train`, at any depth, count as labelled; those in a folder `test` as unlabelled.
    """
    labels = [member for member in archive.members if member.name.rpartition("/")[2] == LABELS]
    if len(labels) != 1:
        found = ", ".join(member.name for member in labels) or f"{len(archive.members)} others"
        raise ValueError(f"{name}: expected one file {LABELS} in the archive. Received: {found}")
    images: dict[str, dict[str, dict[str, Member]]] = {TRAIN: defaultdict(dict), TEST: defaultdict(dict)}
    for member in archive.members:
        folder, _, file_name = member.name.rpartition("/")
        split = folder.rpartition("/")[2] or TRAIN
        parsed = COMPETITION_NAMES.parse(file_name)
        if parsed and split in images:
            sample, filter_name = parsed
            if other := images[split][sample].get(filter_name):
                raise ValueError(f"{name}: two images in the archive have the same name: {other.name} and {member.name}")
            images[split][sample][filter_name] = member
    return _Contents(labels[0], dict(images[TRAIN]), dict(images[TEST]))
