"""Runs the train step with a checkpoint after every training step: a program for tests, see `tests.components.run_step`.

With `backbone=densenet121` it trains a small network, with any other the real one.
"""

import keras

from components.train import fit
from components.train.model import BACKBONES, Backbone
from tests.components import run_step


def _small(include_top: bool, weights: str | None, input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    pixels = keras.Input(input_shape)
    features = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(pixels)
    return keras.Model(pixels, keras.layers.BatchNormalization(momentum=0.9)(features))


if __name__ == "__main__":
    BACKBONES["densenet121"] = Backbone(_small)
    fit.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    run_step.main()
