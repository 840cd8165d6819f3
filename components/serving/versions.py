"""A version of a served model: `<model>/<number>/` in TensorFlow Serving's layout, with its own record of what it holds."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict

from components import storage
from components.artifacts.damage import DamagedFileError, parse_json, to_json
from components.artifacts.manifest import MODEL_THRESHOLDS

_log = logging.getLogger(__name__)

# Comes last into a version: without it there is no model that TensorFlow Serving could load.
DONE_MARK = "saved_model.pb"
# Comes first: in an object store, it claims the number. TensorFlow Serving leaves `assets.extra` alone.
RECORD = "assets.extra/pushed.json"

MISSING = "is missing"


class Record(BaseModel):
    """What a version was made of.

    A push that was killed finds the version that it has begun by an equal record: so there is no time in it.

    Attributes:
        model_fingerprint: The fingerprint of the training.
        evaluation_fingerprint: The fingerprint of the evaluation that blessed it.
        champion_generation: The generation of the champion's pointer that the version is to take the place of.
        restored_from: The version that a rollback copied.
        files: The CRC-32C of every file but this one, by its name in the version.
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
        return parse_json(cls, storage.read_bytes(uri), uri, "what push writes", "push the model again")

    def to_json(self) -> bytes:
        """The record as its file holds it."""
        return to_json(self)


@dataclass(frozen=True)
class Version:
    """A version as it is found.

    Attributes:
        number: Its number.
        uri: Its folder.
        is_complete: Whether all of it is there.
        record: None where it has none, or one that cannot be read.
    """

    number: int
    uri: str
    is_complete: bool
    record: Record | None


def find_versions(model_uri: str) -> list[Version]:
    """The versions of a model, complete or not, the lowest first. A folder without files is none: a kill may leave one."""
    numbers = sorted(int(name) for name in storage.list_names(model_uri) if _is_number(name))
    return [_find_version(model_uri, number) for number in numbers if storage.list_tree(storage.join(model_uri, str(number)))]


def find_incoming(model_uri: str) -> list[Version]:
    """What an object store holds of pushes that have not copied all of it yet; they have the number 0."""
    uris = [storage.join(model_uri, name) for name in storage.list_names(model_uri) if name.startswith(storage.INCOMING)]
    return [Version(0, uri, is_complete=False, record=_read_record(storage.join(uri, RECORD))) for uri in uris]


def is_served(version: Version, versions: Mapping[int, Version]) -> bool:
    """Whether TensorFlow Serving takes this version, or will when it is complete: that with the highest number."""
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
        _log.warning("%s: expected what push writes; the file is damaged, or of an older version of push", uri)
        return None


def find_damage(uri: str, record: Record, names: Collection[str]) -> dict[str, str]:
    """Compares files of a version with its record.

    Args:
        uri: The version's folder.
        record: What its files should be.
        names: Which of them to look at.

    Returns:
        What is wrong with a file, by its name.
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
    """Compares all files of a version with its record; one that was put there by hand has none.

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


def find_strangers(uri: str, record: Record) -> dict[str, str]:
    """The files that lie in a version and are not in its record, as `find_damage` gives what is wrong."""
    return {name: "is not one of its files" for name in storage.list_tree(uri) if name not in record.files and name != RECORD}


def describe(damage: dict[str, str]) -> str:
    """What is wrong with a version's files, in one line."""
    return "; ".join(f"{name} {problem}" for name, problem in damage.items())


def remove_versions(versions: Iterable[Version]) -> None:
    """Removes versions, so that none is ever taken for complete while it goes, and a killed removal is done by the next one."""
    for version in versions:
        storage.remove_folder(version.uri, DONE_MARK, RECORD)
