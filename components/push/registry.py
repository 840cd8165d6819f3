"""Makes versions of served models, and the champion of each: pushes, and goes back to an earlier one.

What identifies a version is what it decides: the model's fingerprint and the thresholds that are served with it. Stock
TensorFlow Serving serves the highest number: so the champion is always made the highest one that is complete.
"""

import logging
import math
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.push.version import (
    DONE_MARK,
    MISSING,
    RECORD,
    Record,
    Version,
    describe,
    find_damage,
    find_versions,
    is_served,
    remove_versions,
)
from components.shared import storage
from components.shared.champion import Champion, crown, find_champion
from components.shared.manifest import MODEL_MANIFEST, MODEL_THRESHOLDS, TrainedModel
from components.shared.storage import SwappedMeanwhileError

_log = logging.getLogger(__name__)

# How many complete versions stay: the champion, and those that a rollback can go back to.
KEPT_VERSIONS = 5


class SupersededError(ValueError):
    """The model is an old version, and another has been made the champion since. Only a rollback goes back to it."""


@dataclass(frozen=True)
class Pushed:
    """The champion that a push or a rollback leaves.

    Attributes:
        number: Its version number.
        uri: Its folder.
        is_new: Whether it was made the champion now, and had not been before.
    """

    number: int
    uri: str
    is_new: bool


@dataclass(frozen=True)
class _Place:
    """Where the versions of a model are, and what is there."""

    serving_root: str
    model_name: str

    @property
    def uri(self) -> str:
        return storage.join(self.serving_root, self.model_name)

    def champion(self) -> Champion | None:
        return find_champion(self.serving_root, self.model_name)

    def versions(self) -> dict[int, Version]:
        return {version.number: version for version in find_versions(self.uri)}


def push_model(
    model_dir: Path, thresholds: Sequence[float], evaluation: str, champion_generation: str, serving_root: str, model_name: str
) -> Pushed:
    """Copies a model to a version of its own, with its fitted thresholds, and makes it the champion.

    A push that was killed is completed under its number; one that was finished is found, and files that have been damaged
    since are copied again.

    Args:
        model_dir: The SavedModel.
        thresholds: One a class, in the model's order.
        evaluation: The fingerprint of the evaluation that blessed the model.
        champion_generation: Of the champion's pointer when the model was judged; empty if there was no champion.
        serving_root: The folder above the models.
        model_name: The folder above the versions.

    Raises:
        ValueError: If the thresholds are not one number a class.
        SwappedMeanwhileError: If there is another champion than the one that the model was judged against.
        SupersededError: If the model has been served before, and another took its place.
    """
    trained = TrainedModel.read(str(model_dir / MODEL_MANIFEST))
    if len(thresholds) != len(trained.class_names) or not all(map(math.isfinite, thresholds)):
        raise ValueError(f"Expected one threshold for each of {len(trained.class_names)} classes. Received: {thresholds}")
    with tempfile.TemporaryDirectory() as folder:
        fitted = Path(folder) / "thresholds.csv"
        fitted.write_text("".join(f"{value!r}\n" for value in thresholds), encoding="utf-8")
        files = {path.relative_to(model_dir).as_posix(): path for path in model_dir.rglob("*") if path.is_file()}
        files.pop(RECORD, None)  # of a version that was copied: this one gets its own
        if DONE_MARK not in files:
            raise FileNotFoundError(f"{model_dir}: expected a SavedModel, with {DONE_MARK}; there is none")
        files[MODEL_THRESHOLDS] = fitted
        record = Record(
            model_fingerprint=trained.fingerprint,
            evaluation_fingerprint=evaluation,
            champion_generation=champion_generation,
            files={name: storage.file_crc32c(path) for name, path in sorted(files.items())},
        )
        return _push(files, record, _Place(serving_root, model_name))


def _push(files: Mapping[str, Path], record: Record, place: _Place) -> Pushed:
    champion, versions = place.champion(), place.versions()
    if champion:
        if there := _already_served(record, champion, versions):
            served, its_record = there
            names = set(its_record.files)
            _complete(files, served.uri, its_record, names - {DONE_MARK})
            _complete(files, served.uri, its_record, names & {DONE_MARK})
            _remove_old(place, champion.version)
            return served
        _refuse_superseded(record, versions.values(), champion)
    return _make_champion(files, record, place)


def _already_served(record: Record, champion: Champion, versions: Mapping[int, Version]) -> tuple[Pushed, Record] | None:
    """The champion with its own record, if it decides as a version of this record would, and is the one that is served."""
    current = versions.get(champion.version)
    if current and current.record and current.record.serves_the_same_as(record) and is_served(current, versions):
        return Pushed(current.number, current.uri, is_new=False), current.record
    return None


def _refuse_superseded(record: Record, versions: Iterable[Version], champion: Champion) -> None:
    for version in versions:
        same = version.record and version.record.serves_the_same_as(record)
        if same and version.is_complete and version.number < champion.version:
            raise SupersededError(
                f"this model with these thresholds is version {version.number} already, and version {champion.version} has "
                f"taken its place. To serve it again: python -m pipeline models rollback {version.number}"
            )


def rollback(number: int, serving_root: str, model_name: str) -> Pushed:
    """Copies an old version to a new highest one, and makes that the champion.

    Args:
        number: The old version.
        serving_root: The folder above the models.
        model_name: The folder above the versions.

    Raises:
        ValueError: If there is no such version, or no champion yet.
        OSError: If the version is damaged.
        SwappedMeanwhileError: If another version was made the champion in the meantime.
    """
    place = _Place(serving_root, model_name)
    champion, versions = place.champion(), place.versions()
    if not champion:
        raise ValueError(f"{place.uri}: there is no champion that another version could take the place of")
    old = versions.get(number)
    if not old or not old.is_complete or not old.record:
        whole = ", ".join(str(version.number) for version in versions.values() if version.is_complete and version.record)
        raise ValueError(f"{place.uri}: expected one of the versions {whole or '(none)'}. Received: {number}")
    there = _already_served(old.record, champion, versions)
    if there and not find_damage(there[0].uri, there[1], there[1].files):
        return there[0]
    if damage := find_damage(old.uri, old.record, old.record.files):
        raise OSError(f"{old.uri} is damaged, so that it was not made the champion: {describe(damage)}")
    with tempfile.TemporaryDirectory() as folder:
        storage.fetch_tree(old.uri, Path(folder))
        files = {name: Path(folder) / name for name in old.record.files}
        changed = {"champion_generation": champion.generation, "restored_from": number}
        return _make_champion(files, old.record.model_copy(update=changed), place)


def _make_champion(files: Mapping[str, Path], record: Record, place: _Place) -> Pushed:
    """Copies files to the version of this record, and swaps the champion's pointer."""
    if champion := _other_champion(record, place):
        return champion
    number = _find_or_claim(record, place)
    uri = storage.join(place.uri, str(number))
    _complete(files, uri, record, [name for name in files if name != DONE_MARK])
    # TensorFlow Serving takes what is complete at once: the question whether it is still wanted comes right before.
    if champion := _other_champion(record, place):
        return champion
    _complete(files, uri, record, [DONE_MARK])
    try:
        crown(
            Champion(number, uri, record.model_fingerprint, record.evaluation_fingerprint, record.champion_generation),
            place.serving_root,
            place.model_name,
        )
    except SwappedMeanwhileError:
        if champion := _other_champion(record, place):
            return champion
        raise
    _log.info("%d files copied to %s and verified; version %d is the champion", len(files), uri, number)
    _remove_old(place, number)
    return Pushed(number, uri, is_new=True)


def _other_champion(record: Record, place: _Place) -> Pushed | None:
    """Gives up if there is another champion than the one that a model was judged against.

    Returns:
        None if there is not; the champion if the same push, at the same time, has made it.

    Raises:
        SwappedMeanwhileError: If it is somebody else's.
    """
    champion, versions = place.champion(), place.versions()
    if (champion.generation if champion else "") == record.champion_generation:
        return None
    current = versions.pop(champion.version, None) if champion else None
    # What is complete and no champion would be served all the same if its number is the highest.
    remove_versions(version for version in versions.values() if version.record == record)
    if current and current.record == record:
        return Pushed(current.number, current.uri, is_new=False)
    now = f"version {champion.version} is the champion" if champion else "there is no champion"
    raise SwappedMeanwhileError(
        f"{place.uri}: nothing was pushed: somebody else has changed the champion since this model was judged against it, and "
        f"now {now}. Run the same again: the model is then judged against the present one"
    )


def _find_or_claim(record: Record, place: _Place) -> int:
    """The number of the version that was begun with this record, or else the next free one."""
    versions, champion = place.versions(), place.champion()
    for version in versions.values():
        if version.record == record and is_served(version, versions):
            return version.number
    number = max([*versions, champion.version if champion else 0], default=0)
    while True:
        number += 1
        try:
            storage.write_bytes(storage.join(place.uri, str(number), RECORD), record.to_json())
            return number
        except FileExistsError:  # another push has taken the number in the meantime
            continue


def _complete(files: Mapping[str, Path], uri: str, record: Record, names: Collection[str]) -> None:
    """Copies those files of a version that are missing or damaged, and verifies every one.

    Args:
        files: Where to copy from, by name.
        uri: The version's folder.
        record: What its files should be.
        names: Which of them are to be right in the end.

    Raises:
        OSError: If a file is not what the record says, after it was copied.
    """
    damage = find_damage(uri, record, names)

    def copy(name: str) -> None:
        target = storage.join(uri, name)
        if damage[name] != MISSING:
            _log.warning("%s %s: it is copied again", target, damage[name])
            storage.remove(target)
        storage.store(files[name], target)

    storage.for_each(copy, [name for name in damage if name in files])
    if damage and (left := find_damage(uri, record, names)):
        raise OSError(f"{uri} is damaged: {describe(left)}. Delete this version and run again")


def _remove_old(place: _Place, champion: int) -> None:
    """Removes the versions below those that are kept. What is above the champion may be somebody's work."""
    versions = place.versions().values()
    complete = [version.number for version in versions if version.is_complete and version.number <= champion]
    if len(complete) > KEPT_VERSIONS:
        old = [version for version in versions if version.number < complete[-KEPT_VERSIONS]]
        remove_versions(old)
        _log.info("removed old versions: %s; the newest %d stay", ", ".join(str(v.number) for v in old), KEPT_VERSIONS)
