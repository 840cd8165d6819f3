"""Checkpoints: the state from which a killed training run resumes."""

import json
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components import storage
from components.artifacts.damage import with_checksum, without_checksum
from components.runtime.scratch import scratch_folder
from components.train.history import History

_log = logging.getLogger(__name__)

_STATE = "state.npz"
_WEIGHTS = "weights.npz"
_MARK = "checkpoint.json"
_NUM_KEPT = 2
_NAME = re.compile(r"\d{9}-\d{5}")  # steps and epochs


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run after some step.

    Attributes:
        num_steps: The number of steps taken.
        state: The learner's state: see `Learner.state`.
        best_weights: The network's weights after its best epoch; empty before the first.
        history: Its finished epochs.
    """

    num_steps: int
    state: Sequence[np.ndarray]
    best_weights: Sequence[np.ndarray]
    history: History


@dataclass(frozen=True)
class _Written:
    """A checkpoint's folder, and the folder and checksum of the best weights, which it shares with others."""

    name: str
    best: str = ""
    best_crc32c: str = ""


class Checkpoints:
    """The checkpoints of one training run, kept by number of steps and epochs below `<uri>/<attempt>/`.

    Each attempt (each process) writes to its own folder, so that two processes never write to the same place, and starts from
    the newest checkpoint of any attempt. The file that marks a checkpoint as complete is written last.

    The best epoch's weights have their own folder in the attempt's, `best-<epoch>/`. They are written once and shared by the
    checkpoints until a later epoch is better.
    """

    def __init__(self, uri: str) -> None:
        """Opens a new attempt."""
        self._uri = uri
        self._attempt_uri = storage.join(uri, secrets.token_hex(4))
        self._written: list[_Written] = []

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, and removes this attempt's older ones.

        Another attempt that is ahead, or has published, may remove this one's files in the meantime: then nothing is saved.

        Raises:
            OSError: If the disk is full, for example. Earlier checkpoints are kept.
        """
        try:
            self._save(checkpoint)
        except FileNotFoundError as error:
            self._written.clear()
            _log.warning("no checkpoint was saved: another run of the same training has removed %s", error.filename)

    def _save(self, checkpoint: Checkpoint) -> None:
        # The number of steps is the same before and after an epoch's validation.
        name = f"{checkpoint.num_steps:09d}-{checkpoint.history.num_epochs:05d}"
        before = self._written[-1] if self._written else _Written("")
        if before.name == name:
            return
        uri = storage.join(self._attempt_uri, name)
        best, best_crc32c = "", ""
        if checkpoint.history.num_epochs:
            best = f"best-{checkpoint.history.best_epoch + 1:05d}"
            # Another attempt may have removed this one's files.
            is_written = best == before.best and storage.exists(storage.join(self._attempt_uri, best, _WEIGHTS))
            best_crc32c = before.best_crc32c if is_written else self._write(best, _WEIGHTS, checkpoint.best_weights)
        state_crc32c = self._write(name, _STATE, checkpoint.state)
        mark = {
            "num_steps": checkpoint.num_steps,
            "history": vars(checkpoint.history),
            "state_crc32c": state_crc32c,
            "best": best,
            "best_crc32c": best_crc32c,
        }
        storage.write_bytes(storage.join(uri, _MARK), with_checksum(json.dumps(mark)))
        self._written.append(_Written(name, best, best_crc32c))
        while len(self._written) > _NUM_KEPT:
            removed = self._written.pop(0)
            storage.remove_tree(storage.join(self._attempt_uri, removed.name))
            if removed.best and removed.best not in [kept.best for kept in self._written]:
                storage.remove_tree(storage.join(self._attempt_uri, removed.best))
            self._remove_older_attempts()

    def _write(self, folder: str, name: str, arrays: Sequence[np.ndarray]) -> str:
        """Writes arrays to a folder of the attempt. Returns the file's CRC-32C, because NumPy's own checksums are weak."""
        uri = storage.join(self._attempt_uri, folder, name)
        storage.remove_tree(storage.join(self._attempt_uri, folder))  # left by an unfinished call
        with storage.create(uri) as path:
            with path.open("wb") as file:
                np.savez(file, *arrays)
            return storage.file_crc32c(path)

    def newest(self) -> Checkpoint | None:
        """The newest complete checkpoint of any attempt; None if there is none.

        Raises:
            OSError: If the storage fails, or there is no space for a copy.
        """
        for uri in self._newest_first():
            try:
                found = _read(uri)
            except (FileNotFoundError, ValueError, KeyError, TypeError) as error:  # other errors may be transient
                _log.warning("the checkpoint %s cannot be read (%s): trying the previous one", uri, error)
                continue
            _log.info("resuming after step %d, from the checkpoint %s", found.num_steps, uri)
            return found
        return None

    def _remove_older_attempts(self) -> None:
        """Removes attempts whose newest checkpoint is older than the kept ones."""
        for attempt in storage.list_names(self._uri):
            uri = storage.join(self._uri, attempt)
            if uri != self._attempt_uri and max(_names(uri), default="") < self._written[0].name:
                storage.remove_tree(uri)

    def _newest_first(self) -> list[str]:
        found = []
        for attempt in storage.list_names(self._uri):
            for name in _names(storage.join(self._uri, attempt)):
                uri = storage.join(self._uri, attempt, name)
                if storage.exists(storage.join(uri, _MARK)):
                    found.append((name, uri))
        return [uri for _, uri in sorted(found, reverse=True)]


def _names(attempt_uri: str) -> list[str]:
    """The names of an attempt's checkpoints, complete or not."""
    return [name for name in storage.list_names(attempt_uri) if _NAME.fullmatch(name)]


def _read(uri: str) -> Checkpoint:
    mark = json.loads(without_checksum(storage.read_bytes(storage.join(uri, _MARK))))
    if "best" not in mark:
        raise ValueError("it is from another version")
    state = _read_arrays(storage.join(uri, _STATE), mark["state_crc32c"])
    attempt_uri = uri.rpartition("/")[0]
    best = _read_arrays(storage.join(attempt_uri, mark["best"], _WEIGHTS), mark["best_crc32c"]) if mark["best"] else []
    return Checkpoint(int(mark["num_steps"]), state, best, History(**mark["history"]))


def _read_arrays(uri: str, crc32c: str) -> list[np.ndarray]:
    with scratch_folder() as folder:
        path = folder / "arrays.npz"
        storage.fetch(uri, path)
        if storage.file_crc32c(path) != crc32c:
            raise ValueError(f"{uri.rpartition('/')[2]} is damaged")
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]
