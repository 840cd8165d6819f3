"""The initial weights of a backbone: Keras's own for ImageNet, those of a file, or random ones."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
from keras.src.utils.naming import to_snake_case

from components import storage
from components.runtime.scratch import scratch_folder
from components.train.settings import IMAGENET, NONE

_RGB = 3

# Builds a network for a number of channels, with Keras's ImageNet weights if the flag is set, or else with random ones.
Build = Callable[[int, bool], keras.Model]
# The names of layers and the shapes of their weights, in order.
_Shapes = list[tuple[str, list[tuple[int, ...]]]]


def with_weights(build: Build, num_channels: int, weights: str) -> keras.Model:
    """Builds a network with given initial weights.

    Weights for three channels also fit other numbers of channels: see `adapt`.

    Args:
        build: Builds the network.
        num_channels: The number of input channels.
        weights: `imagenet` (Keras downloads them), `none` (random), or the path, gs:// or s3:// address of a Keras
            weights file (.h5).

    Raises:
        ValueError: If the file does not fit the network. The message names the first layer that differs.
        FileNotFoundError: If the file does not exist.
        ConnectionError: If the ImageNet weights cannot be downloaded.
    """
    if weights == NONE:
        return build(num_channels, False)
    if weights == IMAGENET:
        pretrained = _download(build)
        return pretrained if num_channels == _RGB else adapt(pretrained, build(num_channels, False))
    with _local(weights) as path:
        network = build(num_channels, False)
        difference = first_difference(path, network)
        if difference and num_channels != _RGB:
            rgb = build(_RGB, False)
            if not first_difference(path, rgb):
                rgb.load_weights(path)
                return adapt(rgb, network)
        if difference:
            raise ValueError(f"weights: {weights} does not fit {network.name}: {difference}")
        network.load_weights(path)
        return network


def adapt(pretrained: keras.Model, network: keras.Model) -> keras.Model:
    """Copies weights to a network with another number of channels, and returns it.

    Only the first convolution differs. With more channels, the additional kernels are the mean of the pretrained ones; with
    fewer, all are. They are scaled so that an image with equal channels gives the same features as before.
    """
    for source, target in zip(pretrained.layers, network.layers, strict=True):
        values = source.get_weights()
        if values and values[0].shape != target.weights[0].shape:
            kernel, num_channels = values[0], target.weights[0].shape[2]
            kept = kernel if num_channels > kernel.shape[2] else kernel[:, :, :0]
            more = np.repeat(kernel.mean(axis=2, keepdims=True), num_channels - kept.shape[2], axis=2)
            values[0] = np.concatenate([kept, more], axis=2) * (kernel.shape[2] / num_channels)
        target.set_weights(values)
    return network


def first_difference(path: Path, network: keras.Model) -> str:
    """The first layer in which a weights file and a network differ, in words; empty if they match.

    It reads Keras 3's files (.weights.h5) and older ones (.h5).
    """
    try:
        with h5py.File(path, "r") as file:
            stored = _older_shapes(file) if "layer_names" in file.attrs else _keras_3_shapes(file["layers"], network)
    except (OSError, KeyError) as error:
        return f"it is not a Keras weights file ({error})"
    expected: _Shapes = [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in network.layers if layer.weights]
    nothing: tuple[str, list[tuple[int, ...]]] = ("no further layer", [])
    for wanted, found in zip_longest(expected, stored, fillvalue=nothing):
        if wanted[1] != found[1]:
            return f"expected {_describe(*wanted)}. Received: {_describe(*found)}"
    return ""


def _older_shapes(file: h5py.File) -> _Shapes:
    layers = [(name, file[name]) for name in _names(file, "layer_names")]
    shapes = [(name, [tuple(group[weight].shape) for weight in _names(group, "weight_names")]) for name, group in layers]
    return [(name, of_layer) for name, of_layer in shapes if of_layer]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else name for name in group.attrs[attribute]]


def _keras_3_shapes(group: h5py.Group, network: keras.Model) -> _Shapes:
    """Keras 3 names layers by class and number, so their order is taken from the network."""
    counts: Counter[str] = Counter()
    shapes: _Shapes = []
    for layer in network.layers:
        kind = to_snake_case(type(layer).__name__)
        key = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        of_layer: list[tuple[int, ...]] = []
        if key in group and isinstance(layer, keras.Model):
            of_layer = [shape for _, of_inner in _keras_3_shapes(group[key]["layers"], layer) for shape in of_inner]
        elif key in group:
            stored = group[key]["vars"]
            of_layer = [tuple(stored[str(number)].shape) for number in range(len(stored))]
        if of_layer or layer.weights:
            shapes.append((key, of_layer))
    return shapes


def _describe(name: str, shapes: list[tuple[int, ...]]) -> str:
    return f"{name} with weights of {', '.join(map(str, shapes))}" if shapes else name


def _download(build: Build) -> keras.Model:
    try:
        return build(_RGB, True)
    except Exception as error:  # Keras raises a plain Exception without network access
        raise ConnectionError(
            f"The ImageNet weights of {build(_RGB, False).name} could not be downloaded ({error}). On a machine with network "
            "access, get Keras Applications' file for it without the classifier (its name contains notop or no_top), and give "
            "its path, gs:// or s3:// address here as weights=<path>; or train from scratch with weights=none."
        ) from error


@contextmanager
def _local(weights: str) -> Iterator[Path]:
    state = random.getstate()
    if not storage.exists(weights):
        raise FileNotFoundError(
            f"weights: expected imagenet, none, or the path, gs:// or s3:// address of a file, but there is no {weights}"
        )
    if storage.is_local(weights):
        yield Path(weights)
        return
    with scratch_folder() as folder:
        path = folder / weights.rpartition("/")[2]
        storage.fetch(weights, path)
        random.setstate(state)  # requests that are retried draw from the generator of the initial weights
        yield path
