"""Checkpoints: what a training needs to carry on after its process was killed."""

import json
import logging
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from components.shared import storage

_log = logging.getLogger(__name__)

_WEIGHTS = "model.weights.h5"
_BEST = "best.npz"
_STATE = "state.json"
_NUM_KEPT = 2


@dataclass
class History:
    """The curves of a training: one number an epoch for each of `loss`, `accuracy`, `val_loss` and `val_accuracy`."""

    curves: dict[str, list[float]] = field(default_factory=dict)

    @property
    def num_epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.curves.get("loss", []))

    @property
    def best_epoch(self) -> int:
        """The epoch of the smallest validation loss, from 0; -1 before the first."""
        losses = self.curves.get("val_loss", [])
        return min(range(len(losses)), key=losses.__getitem__, default=-1)

    def append(self, logs: dict[str, float]) -> None:
        """Adds a finished epoch."""
        for name, value in logs.items():
            self.curves.setdefault(name, []).append(float(value))

    def describe_last(self, num_planned: int) -> str:
        """One line on the last epoch, for the log."""
        last = {name: values[-1] for name, values in self.curves.items()}
        best = " (best so far)" if self.best_epoch == self.num_epochs - 1 else ""
        return (
            f"epoch {self.num_epochs}/{num_planned}: loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}; "
            f"validation loss {last['val_loss']:.4f}, accuracy {last['val_accuracy']:.4f}{best}"
        )

    def is_exhausted(self, patience: int) -> bool:
        """Whether the validation loss has not become better for `patience` epochs."""
        return self.num_epochs - 1 - self.best_epoch >= patience


class Checkpoints:
    """The checkpoints of one training, kept by number of finished epochs below `<uri>/<attempt>/`.

    Each attempt (each process) writes to its own folder and starts from the newest checkpoint of any, so that two processes
    never write to one place. A checkpoint's state file is written last: without it there is no checkpoint.
    """

    def __init__(self, uri: str) -> None:
        """Looks at what is there and opens a new attempt."""
        self._uri = uri
        self._attempt_uri = storage.join(uri, secrets.token_hex(4))
        self._written: list[str] = []

    def save(self, model: keras.Model, best_weights: list[np.ndarray], history: History) -> None:
        """Writes a checkpoint, and removes this attempt's older ones.

        Args:
            model: The compiled model: its weights and its optimiser's state are saved.
            best_weights: The network's weights after its best epoch.
            history: The curves so far.

        Raises:
            OSError: If the disk is full, say. The checkpoints before it stay.
        """
        uri = storage.join(self._attempt_uri, f"{history.num_epochs:05d}")
        with storage.create(storage.join(uri, _WEIGHTS)) as path:
            model.save_weights(path)
        with storage.create(storage.join(uri, _BEST)) as path, path.open("wb") as file:
            np.savez(file, *best_weights)
        # HDF5 has no checksums of its own: what was damaged would be trained on.
        checksums = {name: storage.stored_crc32c(storage.join(uri, name)) for name in (_WEIGHTS, _BEST)}
        state = {"curves": history.curves, "crc32c": checksums}
        storage.write_bytes(storage.join(uri, _STATE), json.dumps(state).encode())
        self._written.append(uri)
        while len(self._written) > _NUM_KEPT:
            storage.remove_tree(self._written.pop(0))

    def restore(self, model: keras.Model) -> tuple[History, list[np.ndarray]]:
        """Loads the newest checkpoint of any attempt that can be read.

        Args:
            model: The compiled model that gets the weights and the optimiser's state.

        Returns:
            The curves so far and the weights of the best epoch; both empty where there is no checkpoint.
        """
        for uri in self._newest_first():
            try:
                with tempfile.TemporaryDirectory() as folder:
                    state = json.loads(storage.read_bytes(storage.join(uri, _STATE)))
                    history = History(state["curves"])
                    for name in (_WEIGHTS, _BEST):
                        storage.fetch(storage.join(uri, name), Path(folder) / name)
                        if storage.file_crc32c(Path(folder) / name) != state["crc32c"][name]:
                            raise ValueError(f"{name} is damaged")
                    with np.load(Path(folder) / _BEST) as arrays:
                        best_weights = [arrays[name] for name in arrays.files]
                    model.load_weights(Path(folder) / _WEIGHTS)
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.warning("the checkpoint %s cannot be read (%s): trying the one before", uri, error)
                continue
            _log.info("carrying on after epoch %d, from the checkpoint %s", history.num_epochs, uri)
            return history, best_weights
        return History(), []

    def _newest_first(self) -> list[str]:
        found = []
        for attempt in storage.list_names(self._uri):
            for epoch in storage.list_names(storage.join(self._uri, attempt)):
                uri = storage.join(self._uri, attempt, epoch)
                if re.fullmatch(r"\d{5}", epoch) and storage.exists(storage.join(uri, _STATE)):
                    found.append((epoch, uri))
        return [uri for _, uri in sorted(found, reverse=True)]

    def clear(self) -> None:
        """Removes all checkpoints, once the training's result is published."""
        storage.remove_tree(self._uri)
