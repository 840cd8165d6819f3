"""The server's answers to uploads: JSON, CSV, and pictures for the page."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from components.images.exposure import exposure_warnings
from components.images.pixel_size import describe_other_sizes, other_sizes
from components.reports.stains import stain_colours
from components.serving.model import ServedModel
from components.serving.predict.decoding import Decoded
from components.serving.predict.outputs import predictions_header
from components.serving.server.runner import LoadedVersion, Prediction
from components.serving.unlike import describe_unlike

# How many activation maps of the most probable classes the page gets, beside those of the predicted ones.
_NUM_MAPS = 3


@dataclass(frozen=True)
class SampleAnswer:
    """The result for one sample.

    Attributes:
        sample_id: The sample.
        decoded: Its pixels; None if it cannot be used.
        prediction: Its prediction; None if it cannot be used.
        error: Why it cannot be used; empty if it can.
    """

    sample_id: str
    decoded: Decoded | None = None
    prediction: Prediction | None = None
    error: str = ""


def to_json(
    version: LoadedVersion, answers: Sequence[SampleAnswer], ignored: Sequence[str], with_pictures: bool
) -> dict[str, Any]:
    """The answer as the API documents it (see `openapi.py`)."""
    trained = version.model.trained
    return {
        "version": version.name,
        **version.model.precision_fields,
        "classes": trained.class_names,
        "channels": trained.channels,
        **({"colours": dict(zip(trained.channels, stain_colours(trained.channels), strict=True))} if with_pictures else {}),
        "thresholds": dict(zip(trained.class_names, _numbers(version.model.thresholds), strict=True)),
        "samples": [_sample(answer, version.model, with_pictures) for answer in answers],
        "warnings": _warnings(version.model, answers),
        "ignored": list(ignored),
    }


def _warnings(model: ServedModel, answers: Sequence[SampleAnswer]) -> list[dict[str, Any]]:
    trained = model.trained
    found = {answer.sample_id: answer.decoded for answer in answers if answer.decoded}
    histograms = {sample_id: decoded.histograms for sample_id, decoded in found.items()}
    warnings: list[dict[str, Any]] = [
        {"channel": its.channel, "problem": its.problem, "samples": list(its.sample_ids), "message": str(its)}
        for its in exposure_warnings(histograms, trained.channels)
    ]
    others_um = other_sizes({sample_id: decoded.pixel_size_um for sample_id, decoded in found.items()}, trained.pixel_size_um)
    if others_um:
        message = f"{describe_other_sizes(others_um, trained.pixel_size_um)}."
        warnings.append({"problem": "of another pixel size", "samples": list(others_um), "message": message})
    predicted = {answer.sample_id: answer.prediction for answer in answers if answer.prediction}
    unlike = [sample_id for sample_id, prediction in predicted.items() if model.is_unlike_training(prediction.distance)]
    if unlike:
        message = f"{describe_unlike(unlike, len(unlike), len(predicted))}."
        warnings.append({"problem": "unlike the training images", "samples": unlike, "message": message})
    return warnings


def _sample(answer: SampleAnswer, model: ServedModel, with_pictures: bool) -> dict[str, Any]:
    if answer.prediction is None or answer.decoded is None:
        return {"id": answer.sample_id, "error": answer.error}
    prediction, class_names = answer.prediction, model.trained.class_names
    found: dict[str, Any] = {
        "id": answer.sample_id,
        "decisions": [name for name, decided in zip(class_names, prediction.decisions, strict=True) if decided],
        "probabilities": dict(zip(class_names, _numbers(prediction.probabilities), strict=True)),
        **model.distance_fields(prediction.distance),
    }
    if with_pictures:
        planes = np.moveaxis(answer.decoded.pixels, -1, 0)
        found["stains"] = {name: _png(plane) for name, plane in zip(model.trained.channels, planes, strict=True)}
        found["maps"] = _maps(prediction, class_names)
    return found


def _numbers(values: np.ndarray) -> list[float]:
    """Numbers with the same digits as `predict` writes."""
    return [float(text) for text in values.astype(str)]


def _maps(prediction: Prediction, class_names: Sequence[str]) -> Mapping[str, str]:
    """Activation maps as PNGs, each scaled to its maximum, by class."""
    if prediction.maps is None:
        return {}
    likely = np.argsort(-prediction.probabilities)[:_NUM_MAPS]
    shown = sorted({*likely.tolist(), *np.flatnonzero(prediction.decisions).tolist()})
    heat = np.maximum(prediction.maps, 0)
    scaled = np.rint(255 * heat / np.maximum(heat.max(axis=(0, 1)), 1e-6)).astype(np.uint8)
    return {class_names[number]: _png(scaled[:, :, number]) for number in shown}


def _png(plane: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", plane)[1].tobytes()).decode()


def to_csv(answer: Mapping[str, Any]) -> str:
    """The rows of `predict`'s table, with a column for errors.

    Args:
        answer: The result of `to_json`.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*predictions_header(answer["classes"]), "Error"])
    for sample in answer["samples"]:
        if "error" in sample:
            table.writerow([sample["id"], *[""] * (len(answer["classes"]) + 1), sample["error"]])
        else:
            numbers = [sample["probabilities"][name] for name in answer["classes"]]
            table.writerow([sample["id"], "; ".join(sample["decisions"]), *numbers, ""])
    return text.getvalue()
