"""Checkpoints: what a training needs to carry on after its process was killed."""

import json
import logging
import re
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components import storage
from components.train.history import History

_log = logging.getLogger(__name__)

_STATE = "state.npz"
_BEST = "best.npz"
_MARK = "checkpoint.json"
_NUM_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A training at one moment.

    Attributes:
        num_steps: How many steps it has taken.
        state: Of its learner: see `Learner.state`.
        best_weights: The network's weights after its best epoch; none before the first.
        history: Its finished epochs.
    """

    num_steps: int
    state: Sequence[np.ndarray]
    best_weights: Sequence[np.ndarray]
    history: History


class Checkpoints:
    """The checkpoints of one training, kept by number of steps and epochs below `<uri>/<attempt>/`.

    Each attempt (each process) writes to its own folder and starts from the newest checkpoint of any, so that two processes
    never write to one place. The file that marks a checkpoint is written last: without it there is none.
    """

    def __init__(self, uri: str) -> None:
        """Looks at what is there and opens a new attempt."""
        self._uri = uri
        self._attempt_uri = storage.join(uri, secrets.token_hex(4))
        self._written: list[str] = []

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, and removes this attempt's older ones.

        Raises:
            OSError: If the disk is full, say. The checkpoints before it stay.
        """
        # Before and after an epoch is judged, there are as many steps.
        uri = storage.join(self._attempt_uri, f"{checkpoint.num_steps:09d}-{checkpoint.history.num_epochs:05d}")
        if self._written[-1:] == [uri]:
            return
        storage.remove_tree(uri)  # what an earlier call has begun and not finished
        # NumPy's files have no strong checksums of their own: what was damaged would be trained on.
        checksums = {}
        for name, arrays in ((_STATE, checkpoint.state), (_BEST, checkpoint.best_weights)):
            with storage.create(storage.join(uri, name)) as path:
                with path.open("wb") as file:
                    np.savez(file, *arrays)
                checksums[name] = storage.file_crc32c(path)
        mark = {"num_steps": checkpoint.num_steps, "history": vars(checkpoint.history), "crc32c": checksums}
        storage.write_bytes(storage.join(uri, _MARK), json.dumps(mark).encode())
        self._written.append(uri)
        while len(self._written) > _NUM_KEPT:
            storage.remove_tree(self._written.pop(0))
            self._remove_older_attempts()

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint of any attempt that is whole; None where there is none.

        Raises:
            OSError: If the storage fails, or there is no room for a copy.
        """
        for uri in self._newest_first():
            try:
                found = _read(uri)
            except (FileNotFoundError, ValueError, KeyError, TypeError) as error:  # what else fails may work on another try
                _log.warning("the checkpoint %s cannot be read (%s): trying the one before", uri, error)
                continue
            _log.info("carrying on after step %d, from the checkpoint %s", found.num_steps, uri)
            return found
        return None

    def _remove_older_attempts(self) -> None:
        """Removes what attempts have left that did not come as far as the checkpoints that are kept."""
        oldest_kept = self._written[0].rpartition("/")[2]
        for attempt in storage.list_names(self._uri):
            uri = storage.join(self._uri, attempt)
            if uri != self._attempt_uri and max(storage.list_names(uri), default="") < oldest_kept:
                storage.remove_tree(uri)

    def _newest_first(self) -> list[str]:
        found = []
        for attempt in storage.list_names(self._uri):
            for name in storage.list_names(storage.join(self._uri, attempt)):
                uri = storage.join(self._uri, attempt, name)
                if re.fullmatch(r"\d{9}-\d{5}", name) and storage.exists(storage.join(uri, _MARK)):
                    found.append((name, uri))
        return [uri for _, uri in sorted(found, reverse=True)]

    def clear(self) -> None:
        """Removes all checkpoints, once the training's result is published."""
        storage.remove_tree(self._uri)


def _read(uri: str) -> Checkpoint:
    mark = json.loads(storage.read_bytes(storage.join(uri, _MARK)))
    arrays = {name: _read_arrays(storage.join(uri, name), mark["crc32c"][name]) for name in (_STATE, _BEST)}
    return Checkpoint(int(mark["num_steps"]), arrays[_STATE], arrays[_BEST], History(**mark["history"]))


def _read_arrays(uri: str, crc32c: str) -> list[np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        storage.fetch(uri, path)
        if storage.file_crc32c(path) != crc32c:
            raise ValueError(f"{uri.rpartition('/')[2]} is damaged")
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]
