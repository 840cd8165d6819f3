import keras
import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.parameters import RULES
from components.train.export import class_activation_maps
from components.train.model import BACKBONES, build_backbone, build_model, follow_short_epochs
from components.train.recipes import RECIPES

MEAN, STD = np.array([10.0, 20.0, 30.0]), np.array([5.0, 6.0, 0.0])
# The moments of ImageNet's pixels, in [0, 255].
IMAGENET_MEAN, IMAGENET_STD = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])


def test_the_parameter_names_each_backbone() -> None:
    assert RULES["backbone"]("none of them") == f"expected one of {', '.join(BACKBONES)}"


def test_the_parameter_names_each_recipe() -> None:
    assert RULES["recipe"]("none of them") == f"expected one of {', '.join(RECIPES)}"


def _keras_preprocessing(name: str, pixels: np.ndarray) -> np.ndarray:
    """The preprocessing of a Keras Applications network before its first convolution."""
    shape = (75, 75, 3)
    if name == "densenet121":
        return keras.applications.densenet.preprocess_input(pixels.copy())
    if name == "convnext_tiny":
        network = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=shape)
        return network.get_layer("convnext_tiny_prestem_normalization")(pixels)
    network = keras.applications.EfficientNetV2S(include_top=False, weights=None, input_shape=shape)
    return next(layer for layer in network.layers if isinstance(layer, keras.layers.Rescaling))(pixels)


# EfficientNetV2S scales the three channels alike, so the means of ImageNet's channels differ.
@pytest.mark.parametrize(("name", "tolerance"), [("densenet121", 1e-5), ("convnext_tiny", 1e-5), ("efficientnet_v2_s", 0.1)])
def test_images_like_those_of_imagenet_are_scaled_as_keras_scales_them(
    small_backbone: keras.Model, name: str, tolerance: float
) -> None:
    expected = BACKBONES[name]
    moments = expected.input_mean, expected.input_std
    model = build_model(small_backbone, IMAGENET_MEAN, IMAGENET_STD, 4, 0.2, *moments)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    normalised = model.get_layer("normalization")(pixels)
    assert np.allclose(normalised, _keras_preprocessing(name, pixels), atol=tolerance)


def test_the_backbone_sees_the_training_split_with_mean_0_and_deviation_1(small_backbone: keras.Model) -> None:
    model = build_model(small_backbone, MEAN, STD, num_classes=4, dropout=0.2)
    normalise = model.get_layer("normalization")
    assert np.allclose(normalise(np.broadcast_to(MEAN, (1, 16, 16, 3))), 0)
    one_deviation = normalise(np.broadcast_to(MEAN + np.array([5.0, 6.0, 1.0]), (1, 16, 16, 3)))
    assert np.allclose(one_deviation, 1, atol=1e-5)  # and a constant channel is not divided by 0


@pytest.mark.parametrize("pooling", ["average", "average_max"])
def test_a_logit_is_the_average_of_its_activation_map(small_backbone: keras.Model, pooling: str) -> None:
    model = build_model(small_backbone, MEAN, STD, 4, 0.2, pooling=pooling)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    pixels[2] = 100  # the maximum is everywhere
    maps = class_activation_maps(model, tf.constant(pixels)).numpy()
    assert np.allclose(maps.mean(axis=(1, 2)), model(pixels).numpy(), atol=1e-4)


def test_a_maximum_counts_at_its_pixel(small_backbone: keras.Model) -> None:
    model = build_model(small_backbone, MEAN, STD, 1, 0.2, pooling="average_max")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    features = small_backbone(model.get_layer("normalization")(pixels)).numpy()
    number = int(features.max(axis=(0, 1, 2)).argmax())
    kernel = np.zeros((32, 1), np.float32)
    kernel[16 + number] = 1  # after the averages of 16 features
    model.get_layer("logits").set_weights([kernel, np.zeros(1, np.float32)])
    maps = class_activation_maps(model, tf.constant(pixels)).numpy()[:, :, :, 0]
    peaks = features[:, :, :, number] == features[:, :, :, number].max(axis=(1, 2), keepdims=True)
    assert np.array_equal(maps > 0, peaks)
    assert np.allclose(model(pixels).numpy()[:, 0], features[:, :, :, number].max(axis=(1, 2)), atol=1e-5)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "convnext_tiny" else pytest.mark.slow) for name in BACKBONES]
)
def test_a_backbone_for_any_size_equals_one_of_a_fixed_size(name: str) -> None:
    whole, fixed = (build_backbone(name, side_px, 3, "none") for side_px in (None, 100))
    fixed.set_weights(whole.get_weights())
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 100, 100, 3)).astype(np.float32)
    expected = fixed(pixels, training=False).numpy()
    assert np.allclose(whole(pixels, training=False), expected, atol=1e-4 * np.abs(expected).max())
    side_px = BACKBONES[name].min_side_px
    assert np.isfinite(whole(pixels[:, :side_px, :side_px], training=False)).all()


@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.5), (20, 0.9), (100, 0.98), (1554, 0.99)])
def test_moving_averages_cover_at_most_half_an_epoch(steps: int, momentum: float) -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    follow_short_epochs(keras.Sequential([keras.Input((4,)), inner]), steps)
    assert inner.layers[0].momentum == pytest.approx(momentum)


def test_convnext_equals_that_of_keras() -> None:
    options = {"include_top": False, "weights": None, "input_shape": (75, 75, 3)}
    network = BACKBONES["convnext_tiny"].make(**options)
    of_keras = keras.applications.ConvNeXtTiny(include_preprocessing=False, **options)
    of_keras.set_weights(network.get_weights())
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 75, 75, 3)).astype(np.float32)
    assert np.allclose(network(pixels), of_keras(pixels), atol=1e-5)
