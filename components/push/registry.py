"""The served models: `<serving_root>/<model name>/<version>/` as TensorFlow Serving reads them, and the champion's pointer."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from components.shared import storage
from components.shared.manifest import MODEL_MANIFEST, TrainedModel

_log = logging.getLogger(__name__)

# Written last into a version: without it there is no model for TensorFlow Serving.
_DONE_MARK = "saved_model.pb"
_CLAIM = "assets.extra/pushed.json"
_THRESHOLDS = "assets/thresholds.csv"
CHAMPION = "champion.json"


@dataclass(frozen=True)
class Version:
    """A model under its version number."""

    number: int
    uri: str
    is_new: bool


def push_model(model_dir: Path, thresholds: list[float], evaluation: str, serving_root: str, model_name: str) -> Version:
    """Copies a model to a version of its own, with its fitted thresholds, and makes it the champion.

    The same model never gets two versions: a push that was killed is completed, and one that was finished is found.

    Args:
        model_dir: The SavedModel.
        thresholds: One a class, in the model's order.
        evaluation: The fingerprint of the evaluation that blessed the model.
        serving_root: The folder above the models.
        model_name: The folder above the versions.
    """
    trained = TrainedModel.read(str(model_dir / MODEL_MANIFEST))
    if len(thresholds) != len(trained.class_names):
        raise ValueError(f"Expected one threshold for each of {len(trained.class_names)} classes. Received: {len(thresholds)}")
    models_uri = storage.join(serving_root, model_name)
    version = _find_or_claim(models_uri, trained.fingerprint)
    if version.is_new:
        _copy(model_dir, thresholds, version.uri)
    champion = {"version": version.number, "model_fingerprint": trained.fingerprint, "evaluation_fingerprint": evaluation}
    storage.replace_bytes(storage.join(models_uri, CHAMPION), (json.dumps(champion, indent=2) + "\n").encode())
    return version


def _find_or_claim(models_uri: str, fingerprint: str) -> Version:
    """The version of a model: the complete one, the begun one, or the next free number."""
    claim = json.dumps({"model_fingerprint": fingerprint}).encode()
    numbers = sorted(int(name) for name in storage.list_names(models_uri) if name.isascii() and name.isdigit())
    for number in numbers:
        uri = storage.join(models_uri, str(number))
        claim_uri = storage.join(uri, _CLAIM)
        if storage.exists(claim_uri) and storage.read_bytes(claim_uri) == claim:
            return Version(number, uri, is_new=not storage.exists(storage.join(uri, _DONE_MARK)))
    number = max(numbers, default=0) + 1
    while True:
        uri = storage.join(models_uri, str(number))
        try:
            storage.write_bytes(storage.join(uri, _CLAIM), claim)
            return Version(number, uri, is_new=True)
        except FileExistsError:  # another push has taken the number in the meantime
            number += 1


def _copy(model_dir: Path, thresholds: list[float], uri: str) -> None:
    names = sorted(path.relative_to(model_dir).as_posix() for path in model_dir.rglob("*") if path.is_file())
    names.remove(_DONE_MARK)
    for name in [*names, _DONE_MARK]:
        target = storage.join(uri, name)
        if name == _THRESHOLDS:
            storage.write_bytes(target, ("\n".join(repr(value) for value in thresholds) + "\n").encode())
        else:
            storage.store(model_dir / name, target)
    _log.info("copied %d files to %s", len(names) + 1, uri)
