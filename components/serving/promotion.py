"""Pushes models as new versions, promotes them to champion, and rolls back.

Two versions are the same if they decide the same: equal model fingerprints and equal thresholds. Stock TensorFlow Serving
serves the highest number, complete or not: so a version gets its number once it is complete and verified, and the champion is
always the highest version.
"""

import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from components import storage
from components.artifacts.manifest import MODEL_EVALUATION, MODEL_MANIFEST, MODEL_THRESHOLDS, Evaluation, TrainedModel
from components.runtime.scratch import scratch_folder
from components.serving.champion import Champion, Pointer, find_pointer, promote
from components.serving.versions import (
    DONE_MARK,
    MISSING,
    RECORD,
    Record,
    Version,
    describe,
    find_damage,
    find_incoming,
    find_versions,
    is_served,
    remove_versions,
)
from components.storage import SwappedMeanwhileError

_log = logging.getLogger(__name__)

# How many complete versions are kept: the champion, and those that a rollback can restore.
KEPT_VERSIONS = 5


class SupersededError(ValueError):
    """The model is an old version that another has replaced. Only a rollback restores it."""


@dataclass(frozen=True)
class Pushed:
    """The champion after a push or a rollback.

    Attributes:
        number: Its version number.
        uri: Its folder.
        is_new: Whether this call promoted it.
    """

    number: int
    uri: str
    is_new: bool


@dataclass(frozen=True)
class _Place:
    """The folder of a model's versions."""

    serving_root: str
    model_name: str

    @property
    def uri(self) -> str:
        return storage.join(self.serving_root, self.model_name)

    def pointer(self) -> Pointer:
        return find_pointer(self.serving_root, self.model_name)

    def versions(self) -> dict[int, Version]:
        return {version.number: version for version in find_versions(self.uri)}


def push_model(model_dir: Path, evaluation: Evaluation, serving_root: str, model_name: str) -> Pushed:
    """Copies a model with its fitted thresholds to a new version, and promotes it.

    A repeated push continues one that was killed, and repairs damaged files of one that was finished.

    Args:
        model_dir: The SavedModel.
        evaluation: The evaluation that blessed the model. It is stored with the version.
        serving_root: The folder above the models.
        model_name: The folder above the versions.

    Raises:
        FileNotFoundError: If `model_dir` holds no SavedModel.
        ValueError: If there is not one threshold for each class.
        SwappedMeanwhileError: If the champion is not the one that the model was judged against.
        SupersededError: If the model was served before and has been replaced.
    """
    trained = TrainedModel.read(str(model_dir / MODEL_MANIFEST))
    thresholds = evaluation.thresholds
    if len(thresholds) != len(trained.class_names):
        raise ValueError(f"Expected one threshold for each of {len(trained.class_names)} classes. Received: {thresholds}")
    with scratch_folder() as folder:
        fitted = folder / "thresholds.csv"
        fitted.write_text("".join(f"{value!r}\n" for value in thresholds), encoding="utf-8")
        files = {path.relative_to(model_dir).as_posix(): path for path in model_dir.rglob("*") if path.is_file()}
        files.pop(RECORD, None)  # if the model is a copied version: this one gets its own
        if DONE_MARK not in files:
            raise FileNotFoundError(f"{model_dir}: expected a SavedModel, but {DONE_MARK} is missing")
        files[MODEL_THRESHOLDS] = fitted
        # Where it ran and against which champion is left out, so that the same evaluation gives the same file.
        unplaced: dict[str, object] = {"uri": "", "attempt": "", "files": {}}
        unplaced |= {"champion_version": None, "champion_generation": ""}
        files[MODEL_EVALUATION] = folder / "evaluation.json"
        files[MODEL_EVALUATION].write_bytes(evaluation.model_copy(update=unplaced).to_json())
        record = Record(
            model_fingerprint=trained.fingerprint,
            evaluation_fingerprint=evaluation.fingerprint,
            champion_generation=evaluation.champion_generation,
            files={name: storage.file_crc32c(path) for name, path in sorted(files.items())},
        )
        return _push(files, record, _Place(serving_root, model_name))


def _push(files: Mapping[str, Path], record: Record, place: _Place) -> Pushed:
    champion, versions = place.pointer().champion, place.versions()
    if champion:
        if there := _already_served(record, champion, versions):
            served, its_record = there
            names = set(its_record.files)
            _complete(files, served.uri, its_record, names - {DONE_MARK})
            _complete(files, served.uri, its_record, names & {DONE_MARK})
            _tidy(place)
            return served
        _refuse_superseded(record, versions.values(), champion)
    return _make_champion(files, record, place)


def _already_served(record: Record, champion: Champion, versions: Mapping[int, Version]) -> tuple[Pushed, Record] | None:
    """The champion and its record, if it serves the same as this record and is the highest version."""
    current = versions.get(champion.version)
    if current and current.record and current.record.serves_the_same_as(record) and is_served(current, versions):
        return Pushed(current.number, current.uri, is_new=False), current.record
    return None


def _refuse_superseded(record: Record, versions: Iterable[Version], champion: Champion) -> None:
    for version in versions:
        same = version.record and version.record.serves_the_same_as(record)
        if same and version.is_complete and version.number < champion.version and champion.has_been(version.number):
            raise SupersededError(
                f"this model with these thresholds is already version {version.number}, and version {champion.version} has "
                f"taken its place. To serve it again: python -m pipeline models rollback {version.number}"
            )


def rollback(number: int, serving_root: str, model_name: str) -> Pushed:
    """Copies an old version to a new highest one, and promotes that.

    If the pointer is missing or damaged, it is rewritten; the highest version is then not copied.

    Args:
        number: The old version.
        serving_root: The folder above the models.
        model_name: The folder above the versions.

    Raises:
        ValueError: If there is no such version.
        OSError: If the version is damaged.
        SwappedMeanwhileError: If another version was promoted in the meantime.
    """
    place = _Place(serving_root, model_name)
    pointer, versions = place.pointer(), place.versions()
    old = versions.get(number)
    if not old or not old.is_complete or not old.record:
        whole = ", ".join(str(version.number) for version in versions.values() if version.is_complete and version.record)
        raise ValueError(f"{place.uri}: expected one of the versions {whole or '(none)'}. Received: {number}")
    is_highest = number == max(versions)
    there = _already_served(old.record, pointer.champion, versions) if pointer.champion else None
    if there and there[0].number == max(versions) and not find_damage(there[0].uri, there[1], there[1].files):
        return there[0]
    if damage := find_damage(old.uri, old.record, old.record.files):
        raise OSError(f"{old.uri} is damaged, so it was not made the champion: {describe(damage)}")
    if is_highest and not pointer.champion:
        _promote(number, old.record, pointer, place)
        return Pushed(number, old.uri, is_new=True)
    with scratch_folder() as folder:
        storage.fetch_tree(old.uri, folder)
        files = {name: folder / name for name in old.record.files}
        changed = {"champion_generation": pointer.generation, "restored_from": number}
        return _make_champion(files, old.record.model_copy(update=changed), place)


def _make_champion(files: Mapping[str, Path], record: Record, place: _Place) -> Pushed:
    """Makes a version of the files, and swaps the champion's pointer."""
    try:
        number = _find_begun(files, record, place) or _publish(files, record, place)
        _promote(number, record, _wanted_pointer(record, place), place)
    except SwappedMeanwhileError:
        return _give_up(record, place)
    uri = storage.join(place.uri, str(number))
    _log.info("%d files copied to %s and verified; version %d is the champion", len(files), uri, number)
    _tidy(place)
    return Pushed(number, uri, is_new=True)


def _wanted_pointer(record: Record, place: _Place) -> Pointer:
    """The champion's pointer, if it is still the one that the model was judged against."""
    pointer = place.pointer()
    if pointer.generation != record.champion_generation:
        raise SwappedMeanwhileError(pointer.uri)
    return pointer


def _find_begun(files: Mapping[str, Path], record: Record, place: _Place) -> int | None:
    """The version of this record, if the same push made it and was killed before it swapped the pointer."""
    versions = place.versions()
    highest = versions.get(max(versions, default=0))
    if not highest or not highest.is_complete or highest.record != record:
        return None
    _complete(files, highest.uri, record, record.files)
    return highest.number


def _publish(files: Mapping[str, Path], record: Record, place: _Place) -> int:
    """Copies files to a folder that servers ignore, verifies them, and renames it to the next free number."""
    _wanted_pointer(record, place)
    with storage.incoming_folder(place.uri) as incoming:
        try:
            storage.write_bytes(storage.join(incoming, RECORD), record.to_json())
            _complete(files, incoming, record, record.files)
            # Servers load a numbered folder at once, so the pointer is checked immediately before.
            champion, versions = _wanted_pointer(record, place).champion, place.versions()
            number = max([*versions, champion.version if champion else 0], default=0)
            while True:
                number += 1
                with contextlib.suppress(FileExistsError):  # another push took the number
                    storage.move_folder(incoming, storage.join(place.uri, str(number)), RECORD, DONE_MARK)
                    return number
        except OSError:
            _wanted_pointer(record, place)  # the winner of a race may have removed these files
            raise


def _promote(number: int, record: Record, pointer: Pointer, place: _Place) -> None:
    before = pointer.champion
    if before and before.former is not None:
        former = (*before.former, before.version)
    else:  # not recorded: any complete version may have been champion, except copies made by this same push
        older = [version for version in place.versions().values() if version.is_complete and version.number < number]
        former = tuple(version.number for version in older if version.record != record)
    uri = storage.join(place.uri, str(number))
    champion = Champion(number, uri, record.model_fingerprint, record.evaluation_fingerprint, pointer.generation, former)
    promote(champion, place.serving_root, place.model_name)


def _give_up(record: Record, place: _Place) -> Pushed:
    """Cleans up after a push that lost to another one.

    Returns:
        The champion, if the same push made it at the same time.

    Raises:
        SwappedMeanwhileError: If another push made it.
    """
    _tidy(place)
    champion, versions = place.pointer().champion, place.versions()
    current = versions.get(champion.version) if champion else None
    if current and current.record == record:
        return Pushed(current.number, current.uri, is_new=False)
    now = f"version {champion.version} is the champion" if champion else "there is no champion"
    raise SwappedMeanwhileError(
        f"{place.uri}: nothing was pushed, because the champion has changed since this model was judged against it: now {now}. "
        "Run again: the model is then judged against the current one"
    )


def _complete(files: Mapping[str, Path], uri: str, record: Record, names: Collection[str]) -> None:
    """Copies the missing or damaged files of a version, and verifies all of them.

    Args:
        files: Where to copy from, by name.
        uri: The version's folder.
        record: What its files should be.
        names: The files to check.

    Raises:
        OSError: If a copied file does not match the record.
    """
    damage = find_damage(uri, record, names)

    def copy(name: str) -> None:
        target = storage.join(uri, name)
        if damage[name] != MISSING:
            _log.warning("%s %s: copying it again", target, damage[name])
            storage.remove(target)
        storage.store(files[name], target)

    storage.for_each(copy, [name for name in damage if name in files])
    if damage and (left := find_damage(uri, record, names)):
        raise OSError(f"{uri} is damaged: {describe(left)}. Delete this version and run again")


def _tidy(place: _Place) -> None:
    """Removes versions that can no longer be promoted, and all but the newest kept ones.

    A version that was judged against a replaced champion would be refused, so it is removed, whether its push was killed or is
    slow. Versions are listed before the pointer is read, so that ones made in between are left alone.
    """
    storage.sweep(place.uri)
    begun, versions = find_incoming(place.uri), place.versions()
    pointer = place.pointer()
    if not pointer.champion:
        return
    champion = pointer.champion
    judged = [version for version in versions.values() if version.record and not champion.has_been(version.number)]
    remove_versions(
        version
        for version in (*begun, *judged)
        if not version.record or version.record.champion_generation != pointer.generation
    )
    left = [version for version in place.versions().values() if version.number <= champion.version]
    complete = [version.number for version in left if version.is_complete]
    if len(complete) > KEPT_VERSIONS:
        old = [version for version in left if version.number < complete[-KEPT_VERSIONS]]
        remove_versions(old)
        _log.info("removed old versions: %s; the newest %d stay", ", ".join(str(v.number) for v in old), KEPT_VERSIONS)
