"""An ONNX file, for ONNX Runtime and the programs that use it."""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx  # noqa: F401 (for a clear error if it is missing: Keras needs it)

from components.export.model import ExportedModel

SUFFIX = ".onnx"
OPSET = 17
_OUTPUT = "probabilities"


def write(model: ExportedModel, path: Path) -> None:
    """Writes the network.

    The file's documentation is the model card. Its metadata are the channels, the classes and the thresholds, each as JSON.
    """
    signature = [tf.TensorSpec([None, *model.network.input_shape[1:]], tf.float32, name="pixels")]
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # Keras uses a name deprecated in NumPy 2
        model.network.export(path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSET)
    proto = onnx.load(path)
    (given,) = proto.graph.output
    for node in proto.graph.node:
        node.output[:] = [_OUTPUT if name == given.name else name for name in node.output]
    given.name = _OUTPUT
    proto.doc_string = model.card()
    names = {"channels": model.trained.channels, "classes": model.trained.class_names}
    known = names | {"thresholds": [float(f"{threshold:.6g}") for threshold in model.thresholds]}
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in known.items()})
    onnx.save(proto, path)


def run(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Opens a file and classifies images: see `keras_file.run`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run([_OUTPUT], {"pixels": pixels})
    return probabilities
