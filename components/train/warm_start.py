"""The initial weights of a training run: the champion's, if requested and possible, or else those of `weights`."""

import logging
from typing import Self

import keras
import numpy as np
import tensorflow as tf
from pydantic import BaseModel, ConfigDict

from components import storage
from components.artifacts.damage import parse_json, to_json
from components.artifacts.examples import read_column
from components.artifacts.manifest import MODEL_MANIFEST, MODEL_TRAINING_IDS, Examples, TrainedModel
from components.runtime.scratch import scratch_folder
from components.runtime.wording import shorten
from components.serving.champion import Champion
from components.train.recipes import Recipe
from components.train.settings import CHECKPOINTS

_log = logging.getLogger(__name__)

_RECORD = "start.json"


class Start(BaseModel):
    """The initial weights of a training run.

    They are recorded beside its checkpoints, so that every worker and every resumed run starts from the same weights, even
    if another version has been promoted since.

    Attributes:
        words: A description.
        champion_uri: The version that the weights are from; empty for those of `weights`.
        champion_fingerprint: The fingerprint of its training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str
    champion_uri: str = ""
    champion_fingerprint: str = ""

    @classmethod
    def choose(
        cls, weights: str, recipe: Recipe, warm_start: bool, champion: Champion | None, examples: Examples, uri: str
    ) -> Self:
        """Chooses the initial weights of the training at `uri`, or reads the choice made when it began.

        Args:
            weights: The setting.
            recipe: The recipe.
            warm_start: Whether to start from the champion if possible.
            champion: The current champion, if any.
            examples: The examples to train on.
            uri: The training's folder.

        Raises:
            FileNotFoundError: If the champion's folder is incomplete.
        """
        plain = f"weights={weights}"
        if not warm_start:
            return cls(words=plain)
        record_uri = storage.join(uri, _RECORD)
        if storage.exists(record_uri):
            begun = cls.read(record_uri)
            if begun.is_there():
                return begun
            _log.warning("%s no longer exists: this training starts over", begun.words)
            storage.remove_tree(storage.join(uri, CHECKPOINTS))
            storage.remove(record_uri)
        obstacle = _obstacle(champion, recipe, examples)
        if champion and not obstacle:
            words = f"version {champion.version} of the served model"
            start = cls(words=words, champion_uri=champion.uri, champion_fingerprint=champion.model_fingerprint)
        else:
            start = cls(words=f"{plain}, not the champion: {obstacle}")
        try:
            storage.write_bytes(record_uri, to_json(start))
        except FileExistsError:  # another process was faster, and may have seen another champion
            return cls.read(record_uri)
        return start

    @classmethod
    def read(cls, uri: str) -> Self:
        """Reads the decision made at the start of the training."""
        return parse_json(cls, storage.read_bytes(uri), uri, "the record of the initial weights")

    def is_there(self) -> bool:
        """Whether its weights can be read: old versions are removed."""
        manifest_uri = storage.join(self.champion_uri, MODEL_MANIFEST)
        if not self.champion_uri:
            return True
        return storage.exists(manifest_uri) and TrainedModel.read(manifest_uri).fingerprint == self.champion_fingerprint

    def training_ids(self) -> set[str]:
        """The samples that the initial weights were trained on."""
        return _training_ids(self.champion_uri) if self.champion_uri else set()

    def give_weights(self, network: keras.Model) -> None:
        """Copies the champion's weights to a network.

        Raises:
            ValueError: If they are those of another network.
        """
        with scratch_folder() as folder:
            storage.fetch_tree(storage.join(self.champion_uri, "variables"), folder)
            values = _read_variables(str(folder / "variables"))
        found, expected = [value.shape for value in values], [tuple(variable.shape) for variable in network.variables]
        if found != expected:
            raise ValueError(
                f"{self.champion_uri} was exported from another network: expected {len(expected)} variables, shaped as those "
                f"of the one to train. Received: {len(found)}. Train without warm_start"
            )
        for variable, value in zip(network.variables, values, strict=True):
            if np.issubdtype(value.dtype, np.floating):  # the others are the states of random generators
                variable.assign(value)


def _obstacle(champion: Champion | None, recipe: Recipe, examples: Examples) -> str:
    """Why training cannot start from the champion; empty if it can."""
    if not champion:
        return "there is none yet"
    served = TrainedModel.read(storage.join(champion.uri, MODEL_MANIFEST))
    for part, its, own in (("backbone", served.backbone, recipe.backbone), ("pooling", served.pooling, recipe.pooling)):
        if its != own:
            return f"the {part} of version {champion.version} is {its}, and that of this run is {own}"
    for words, theirs, ours in (
        ("classes", served.class_names, examples.class_names),
        ("channels", served.channels, examples.channels),
    ):
        if theirs != ours:
            return f"the {words} of version {champion.version} are {shorten(theirs)}, and those of the examples {shorten(ours)}"
    held_back = {sample_id for sample_id, split in read_column(examples, "split").items() if split != "train"}
    if seen := held_back & _training_ids(champion.uri):
        return (
            f"version {champion.version} was trained on {len(seen)} of the {len(held_back)} samples that the new model is "
            "judged on (it is of another split or split_seed)"
        )
    return ""


def _training_ids(champion_uri: str) -> set[str]:
    return set(storage.read_bytes(storage.join(champion_uri, MODEL_TRAINING_IDS)).decode().splitlines())


def _read_variables(prefix: str) -> list[np.ndarray]:
    """The variables that `export.ServingModule` stores, in the network's order, without loading its graphs."""
    reader = tf.train.load_checkpoint(prefix)
    names = {}
    for name in reader.get_variable_to_shape_map():
        kind, _, rest = name.partition("/")
        if kind == "variables_":
            names[int(rest.partition("/")[0])] = name
    return [reader.get_tensor(names[number]) for number in sorted(names)]
