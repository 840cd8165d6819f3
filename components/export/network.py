"""Rebuilds the network of a served version in plain Keras."""

from dataclasses import fields, replace

import keras
import numpy as np

from components.serving.model import ServedModel
from components.train.model import BACKBONES, build_backbone, build_model
from components.train.recipes import RECIPES, Recipe
from components.train.settings import NONE
from components.train.views import cropped, symmetric


def build_network(served: ServedModel) -> keras.Model:
    """Builds the network of a version from its manifest, with the version's weights and normalisation.

    Returns:
        A model from pixels, float32 in [0, 255] of shape (batch, height, width, channels), to the same probabilities as the
        version's signature `pixels`, float32 of shape (batch, classes).

    Raises:
        ValueError: If this version of the project does not know the network, or builds it differently.
    """
    trained = served.trained
    if trained.backbone not in BACKBONES:
        raise ValueError(
            f"{served.uri}: expected one of the backbones {', '.join(BACKBONES)}. Received: {trained.backbone}. Export it with "
            f"the version of this project that trained it, {trained.code_version}"
        )
    expected = BACKBONES[trained.backbone]
    known = {field.name for field in fields(Recipe)} & trained.parameters.keys()
    recipe = replace(RECIPES["paper"], **{name: trained.parameters[name] for name in known})
    mean, variance = served.normalisation()
    scale = np.sqrt(variance)
    network = build_model(
        build_backbone(trained.backbone, recipe.input_side_px(trained.image_size_px), len(trained.channels), NONE),
        channel_mean=mean + expected.input_mean * scale,
        channel_std=scale * expected.input_std,
        num_classes=len(trained.class_names),
        dropout=recipe.dropout,
        input_mean=expected.input_mean,
        input_std=expected.input_std,
        pooling=recipe.pooling,
    )
    weights = served.weights()
    if [value.shape for value in weights] != [tuple(variable.shape) for variable in network.variables]:
        raise ValueError(
            f"{served.uri}: expected {len(network.variables)} variables, shaped as those of {trained.backbone}. Received: "
            f"{len(weights)}. Export it with the version of this project that trained it, {trained.code_version}"
        )
    for variable, value in zip(network.variables, weights, strict=True):
        variable.assign(value)
    # Arrays become constants of a graph; tensors would become additional inputs of an ONNX file.
    normalisation = network.get_layer("normalization")
    normalisation.mean, normalisation.variance = np.asarray(normalisation.mean), np.asarray(normalisation.variance)
    pixels = keras.Input((trained.image_size_px, trained.image_size_px, len(trained.channels)), name="pixels")
    # All views and crops in one batch: with one call for each, the file would hold as many copies of the network.
    crops = [crop for number in range(recipe.views) for crop in cropped(symmetric(pixels, number), recipe)]
    of_crops = keras.ops.sigmoid(network(keras.ops.concatenate(crops), training=False))
    by_view = keras.ops.reshape(of_crops, (recipe.views, recipe.crops, -1, len(trained.class_names)))
    return keras.Model(pixels, keras.ops.mean(keras.ops.max(by_view, axis=1), axis=0), name="classifier")
