"""Trains a small network in this process, as one of several workers if TF_CONFIG says so: a program for tests.

python -m tests.components.train.train_small <examples.json> <checkpoints> <weights.npz> <virtual CPUs> <epochs>
"""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.examples import open_splits
from components.artifacts.manifest import Examples
from components.runtime.termination import ended_by_sigterm
from components.train import fit
from components.train.checkpoint import Checkpoints
from components.train.devices import Devices, open_devices
from components.train.model import build_model
from components.train.recipes import RECIPES


def main() -> None:
    """Trains, and writes the weights and the curves."""
    examples_path, checkpoints, weights_path, num_cpus, num_epochs = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    fit.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    if int(num_cpus) > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(num_cpus))
        devices = Devices(tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(int(num_cpus))]))
    else:
        devices = open_devices()
    examples = Examples.model_validate_json(Path(examples_path).read_text(encoding="utf-8"))
    keras.utils.set_random_seed(0)
    with devices.strategy.scope():
        pixels = keras.Input((examples.image_size_px, examples.image_size_px, len(examples.channels)))
        features = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(pixels)
        features = keras.layers.BatchNormalization(momentum=0.9)(features)
        backbone = keras.Model(pixels, features)
        network = build_model(backbone, np.full(3, 60.0), np.full(3, 50.0), len(examples.class_names), dropout=0.0)
    recipe = replace(RECIPES["strong"], epochs=int(num_epochs), batch_size=16, learning_rate=0.01, oversampling=0.5)
    with open_splits(examples, ["train", "validation"]) as splits:
        history = fit.train(network, splits["train"], splits["validation"], recipe, 0, Checkpoints(checkpoints), devices)
    np.savez(weights_path, *network.get_weights())
    Path(weights_path).with_suffix(".json").write_text(json.dumps(history.curves), encoding="utf-8")


if __name__ == "__main__":
    with ended_by_sigterm():
        main()
