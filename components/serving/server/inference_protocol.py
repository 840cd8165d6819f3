"""The Open Inference Protocol's messages (v2, JSON): https://github.com/kserve/open-inference-protocol."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from components.serving.server.limits import RefusedError
from components.serving.server.runner import LoadedVersion, Prediction

# Room for names, shapes and parameters.
_ENVELOPE_BYTES = 1 << 16


class _Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Request(BaseModel):
    id: str | None = None
    inputs: list[_Tensor]


def model_metadata(name: str, version: LoadedVersion) -> dict[str, Any]:
    """The model's input and output tensors."""
    form, trained = version.form, version.model.trained
    num_classes = len(trained.class_names)
    shape = [-1, form.image_size_px, form.image_size_px, len(form.filters)]
    return {
        "name": name,
        "versions": [version.name],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": shape}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, num_classes]},
            {"name": "decisions", "datatype": "BOOL", "shape": [-1, num_classes]},
            *([{"name": "distances", "datatype": "FP32", "shape": [-1]}] if trained.usual_distances else []),
        ],
    }


def max_request_bytes(version: LoadedVersion, max_images: int) -> int:
    """The largest size of a request with this many images: a number in JSON is up to three digits, a comma and a space."""
    return _ENVELOPE_BYTES + 5 * max_images * version.form.image_size_px**2 * len(version.form.filters)


def parse_request(body: bytes, version: LoadedVersion) -> tuple[str | None, np.ndarray]:
    """Reads the pixels of a request.

    Returns:
        The request's id, and uint8, shape (images, side, side, channels).

    Raises:
        RefusedError: With status 400 if the request is invalid.
    """
    side = version.form.image_size_px
    expected = f"one input pixels, UINT8, of shape [n, {side}, {side}, {len(version.form.filters)}]"
    try:
        request = _Request.model_validate_json(body)
        (tensor,) = request.inputs
        data = np.asarray(tensor.data)
        if tensor.name != "pixels" or tensor.datatype != "UINT8" or data.dtype.kind not in "iu":
            raise ValueError("another tensor")
        if data.min() < 0 or data.max() > 255:
            raise ValueError("numbers outside of 0 to 255")
        pixels = data.astype(np.uint8).reshape(tensor.shape)
        if pixels.shape[1:] != (side, side, len(version.form.filters)):
            raise ValueError(f"the shape {tensor.shape}")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise RefusedError(400, f"Expected {expected}: {problem['msg']} at {problem['loc']}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise RefusedError(400, f"Expected {expected}. Received: {error}") from None
    return request.id, pixels


def to_response(name: str, version: LoadedVersion, request_id: str | None, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The response to a request."""
    shape = [len(predictions), len(version.model.trained.class_names)]
    probabilities = np.stack([prediction.probabilities for prediction in predictions])
    decisions = np.stack([prediction.decisions for prediction in predictions])
    measured = [prediction.distance for prediction in predictions if prediction.distance is not None]
    distances = [distance if math.isfinite(distance) else None for distance in measured]  # JSON has no infinity
    return {
        "model_name": name,
        "model_version": version.name,
        **({"id": request_id} if request_id is not None else {}),
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": shape, "data": probabilities.ravel().tolist()},
            {"name": "decisions", "datatype": "BOOL", "shape": shape, "data": decisions.ravel().tolist()},
            *([{"name": "distances", "datatype": "FP32", "shape": [len(distances)], "data": distances}] if distances else []),
        ],
    }
