"""A version of a served model: `<model>/<number>/` in TensorFlow Serving's layout, with a record of its files."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict

from components import storage
from components.artifacts.damage import DamagedFileError, parse_json, to_json
from components.artifacts.manifest import MODEL_THRESHOLDS

_log = logging.getLogger(__name__)

# Written last: without it TensorFlow Serving has no model to load.
DONE_MARK = "saved_model.pb"
# Written first: in an object store, it claims the number. TensorFlow Serving ignores `assets.extra`.
RECORD = "assets.extra/pushed.json"

MISSING = "is missing"


class Record(BaseModel):
    """What a version was made of.

    It holds no time, so that a repeated push recognises the version of a killed one by an equal record.

    Attributes:
        model_fingerprint: The fingerprint of the training.
        evaluation_fingerprint: The fingerprint of the evaluation that blessed it.
        champion_generation: The generation of the champion's pointer that the version replaces.
        restored_from: The version that a rollback copied.
        files: The CRC-32C of every file except this one, by its name in the version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_fingerprint: str
    evaluation_fingerprint: str
    champion_generation: str
    restored_from: int | None = None
    files: dict[str, str]

    def serves_the_same_as(self, other: "Record") -> bool:
        """Whether both give the same decisions: the same model, with the same thresholds."""
        mine, others = ((r.model_fingerprint, r.files.get(MODEL_THRESHOLDS)) for r in (self, other))
        return mine == others

    @classmethod
    def read(cls, uri: str) -> Self:
        """Reads a record.

        Raises:
            FileNotFoundError: If there is none.
            DamagedFileError: If it is damaged.
        """
        return parse_json(cls, storage.read_bytes(uri), uri, "a record of push", "push the model again")

    def to_json(self) -> bytes:
        """The content of the record's file."""
        return to_json(self)


@dataclass(frozen=True)
class Version:
    """A version as it was found.

    Attributes:
        number: Its number.
        uri: Its folder.
        is_complete: Whether all of it is there.
        record: Its record; None if it is missing or cannot be read.
    """

    number: int
    uri: str
    is_complete: bool
    record: Record | None


def find_versions(model_uri: str) -> list[Version]:
    """The versions of a model, complete or not, the lowest first. Empty folders are skipped: a killed push may leave one."""
    numbers = sorted(int(name) for name in storage.list_names(model_uri) if _is_number(name))
    return [_find_version(model_uri, number) for number in numbers if storage.list_tree(storage.join(model_uri, str(number)))]


def find_incoming(model_uri: str) -> list[Version]:
    """The unfinished copies of pushes in an object store; they have the number 0."""
    uris = [storage.join(model_uri, name) for name in storage.list_names(model_uri) if name.startswith(storage.INCOMING)]
    return [Version(0, uri, is_complete=False, record=_read_record(storage.join(uri, RECORD))) for uri in uris]


def is_served(version: Version, versions: Mapping[int, Version]) -> bool:
    """Whether TensorFlow Serving serves this version, or will once it is complete: it has the highest number."""
    return all(other.number <= version.number for other in versions.values() if other.is_complete)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and name == str(int(name))


def _find_version(model_uri: str, number: int) -> Version:
    uri = storage.join(model_uri, str(number))
    return Version(number, uri, storage.exists(storage.join(uri, DONE_MARK)), _read_record(storage.join(uri, RECORD)))


def _read_record(uri: str) -> Record | None:
    try:
        return Record.read(uri)
    except FileNotFoundError:
        return None
    except ValueError:
        _log.warning("%s: not a record of push: the file is damaged, or from an older version", uri)
        return None


def find_damage(uri: str, record: Record, names: Collection[str]) -> dict[str, str]:
    """Compares files of a version with its record.

    Args:
        uri: The version's folder.
        record: What its files should be.
        names: The files to compare.

    Returns:
        The problem of each file that differs, by its name.
    """
    damage = {}

    def compare(name: str) -> None:
        try:
            crc32c = storage.stored_crc32c(storage.join(uri, name))
        except FileNotFoundError:
            damage[name] = MISSING
            return
        if crc32c != record.files[name]:
            damage[name] = f"has other content: expected the CRC-32C {record.files[name]}. Received: {crc32c}"

    storage.for_each(compare, sorted(names))
    return dict(sorted(damage.items()))


def check_version(uri: str) -> None:
    """Compares all files of a version with its record. A version copied by hand has none.

    Raises:
        DamagedFileError: If a file, or the record, is not what was pushed.
    """
    if storage.exists(storage.join(uri, RECORD)):
        record = Record.read(storage.join(uri, RECORD))
        if damage := find_damage(uri, record, record.files):
            raise DamagedFileError(
                f"{uri} is not what was pushed: {describe(damage)}. Push the model again, or make another version champion: "
                "python -m pipeline models rollback"
            )


def find_unrecorded(uri: str, record: Record) -> dict[str, str]:
    """The files of a version that are not in its record, with the problem as in `find_damage`."""
    return {name: "is not one of its files" for name in storage.list_tree(uri) if name not in record.files and name != RECORD}


def describe(damage: dict[str, str]) -> str:
    """The problems of a version's files in one line."""
    return "; ".join(f"{name} {problem}" for name, problem in damage.items())


def remove_versions(versions: Iterable[Version]) -> None:
    """Removes versions so that none looks complete meanwhile, and the next call finishes a killed removal."""
    for version in versions:
        storage.remove_folder(version.uri, DONE_MARK, RECORD)
