"""Finds the fields in a folder that a microscope is writing to, by listing it repeatedly."""

import logging
import os
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from components import storage
from components.artifacts.image_names import SUFFIXES, ImageNames, by_filter
from components.artifacts.sample_ids import unusable_id
from components.runtime.wording import printable
from components.serving.predict.folder import ImageFiles

_log = logging.getLogger(__name__)

_TEMPORARY = re.compile(r"[.~]|.*\.(tmp|temp|part|partial)(\.[^.]*)?$", re.IGNORECASE)


@dataclass(slots=True)
class Field:
    """A field without an answer.

    Attributes:
        files: The path, size in bytes and modification time in ns of each filter's file.
        changed_s: When a change was last seen, by the caller's clock.
        was_tried: Whether decoding has failed since then.
        problem: Why its file names cannot be used; empty if they can.
    """

    files: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    changed_s: float = 0.0
    was_tried: bool = False
    problem: str = ""


class Fields:
    """The fields of a folder that have no answer yet. Others take no memory.

    Args:
        folder: The folder.
        image_names: How the images are named.
        filters: The filters that the model takes.
        settle_s: A file is complete once its size and modification time have not changed for this many seconds.
        give_up_s: An unusable field is bad once it has not changed for this many seconds.
    """

    def __init__(self, folder: str, image_names: ImageNames, filters: list[str], settle_s: float, give_up_s: float) -> None:
        self._folder, self._image_names, self._filters = folder, image_names, filters
        self._settle_s, self._give_up_s = settle_s, give_up_s
        self._has_warned = False
        self.pending: dict[str, Field] = {}

    def update(self, done: Container[str], now_s: float) -> None:
        """Lists the folder and records changes.

        Args:
            done: The ids of the fields to skip.
            now_s: The time of a monotonic clock.

        Raises:
            OSError: If the folder cannot be listed. The state is then unchanged.
        """
        found: dict[str, Field] = {}
        for path, entry in _walk(self._folder):
            parsed = self._image_names.parse(path)
            if not parsed and path.lower().endswith(SUFFIXES) and not self._has_warned:
                _log.warning("images that do not match --file-pattern or --filters are ignored, such as %s", path)
                self._has_warned = True
            if not parsed or printable(parsed[0]) in done:
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:  # removed or renamed meanwhile
                continue
            one, name = found.setdefault(parsed[0], Field()), parsed[1]
            if name in one.files:
                one.problem = f"two files are the same filter: {one.files[name][0]} and {path}"
            one.files[name] = path, stat.st_size, stat.st_mtime_ns
        for sample_id, one in found.items():
            before = self.pending.get(sample_id)
            if before and before.files == one.files:
                found[sample_id] = before
            else:
                one.changed_s = now_s
        self.pending = found

    def ready(self, now_s: float) -> list[ImageFiles]:
        """The fields to decode, in order of change: complete and untried since then, or due to be given up."""
        ready = [
            sample_id
            for sample_id, one in self.pending.items()
            if self.is_given_up(sample_id, now_s)
            or (self.is_complete(sample_id, now_s) and not one.was_tried and not one.problem)
        ]
        ready.sort(key=lambda sample_id: (self.pending[sample_id].changed_s, sample_id))
        return [self._image_files(sample_id) for sample_id in ready]

    def is_complete(self, sample_id: str, now_s: float) -> bool:
        """Whether a field has all its files and they have settled."""
        one = self.pending[sample_id]
        return by_filter(one.files, self._filters).keys() >= set(self._filters) and now_s - one.changed_s >= self._settle_s

    def is_given_up(self, sample_id: str, now_s: float) -> bool:
        """Whether a field is bad for good if it cannot be used now."""
        return now_s - self.pending[sample_id].changed_s >= max(self._give_up_s, self._settle_s)

    def written_at(self, sample_id: str) -> float | None:
        """The time of the newest file of a field, in seconds; None if one has changed since it was listed."""
        for path, num_bytes, modified_ns in self.pending[sample_id].files.values():
            try:
                stat = Path(self._folder, path).stat()
            except FileNotFoundError:
                return None
            if (stat.st_size, stat.st_mtime_ns) != (num_bytes, modified_ns):
                return None
        return max(modified_ns for _, _, modified_ns in self.pending[sample_id].files.values()) / 1e9

    def _image_files(self, sample_id: str) -> ImageFiles:
        one = self.pending[sample_id]
        wanted = {name: file for name, file in by_filter(one.files, self._filters).items() if name in self._filters}
        uris = {name: storage.join(self._folder, path) for name, (path, _, _) in wanted.items()}
        num_bytes = sum(size for _, size, _ in set(wanted.values()))
        return ImageFiles(sample_id, uris, num_bytes, unusable_id(sample_id) or one.problem)


def _walk(folder: str, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files of a folder tree by path, without hidden and temporary ones. Links to folders are not followed."""
    folders = []
    with os.scandir(Path(folder, below)) as entries:
        for entry in entries:
            if _TEMPORARY.match(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(f"{below}{entry.name}/")
            elif entry.is_file():
                yield f"{below}{entry.name}", entry
    for inner in folders:
        try:
            yield from _walk(folder, inner)
        except FileNotFoundError:  # removed in the meantime
            continue
