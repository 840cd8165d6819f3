from pathlib import Path

import keras
import numpy as np
import pytest

from components.train.model import augmentation, build_model, follow_short_epochs, inception_resnet_v2

MEAN, STD = np.array([10.0, 20.0, 30.0]), np.array([5.0, 6.0, 0.0])


def test_the_backbone_sees_the_training_split_with_mean_0_and_deviation_1(small_backbone: keras.Model) -> None:
    model = build_model(small_backbone, MEAN, STD, num_classes=4, dropout=0.2)
    normalise = model.get_layer("normalization")
    assert np.allclose(normalise(np.broadcast_to(MEAN, (1, 16, 16, 3))), 0)
    one_deviation = normalise(np.broadcast_to(MEAN + np.array([5.0, 6.0, 1.0]), (1, 16, 16, 3)))
    assert np.allclose(one_deviation, 1, atol=1e-5)  # and a constant channel is not divided by 0


def test_a_logit_is_the_average_of_its_activation_map(small_backbone: keras.Model) -> None:
    model = build_model(small_backbone, MEAN, STD, num_classes=4, dropout=0.2)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    features = small_backbone(model.get_layer("normalization")(pixels)).numpy()
    weights, bias = model.get_layer("logits").get_weights()
    maps = features @ weights + bias
    assert np.allclose(maps.mean(axis=(1, 2)), model(pixels).numpy(), atol=1e-4)


def test_augmentation_changes_training_images_only() -> None:
    augment = augmentation((16, 16, 3), rotation_turns=0.5, brightness=0.1, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    assert np.array_equal(augment(pixels, training=False), pixels.astype(np.float32))
    changed = augment(pixels, training=True).numpy()
    assert not np.array_equal(changed, pixels)
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_a_weights_file_that_does_not_exist_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"no file /nowhere/weights\.h5"):
        inception_resnet_v2(75, 3, "/nowhere/weights.h5")


def test_the_imagenet_weights_are_refused_for_four_channels() -> None:
    with pytest.raises(ValueError, match="channels=rgb or weights=none"):
        inception_resnet_v2(75, 4, "imagenet")


def test_without_network_the_error_says_how_to_provide_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.raises(ConnectionError, match="weights=<path>"):
        inception_resnet_v2(75, 3, "imagenet")


def test_weights_of_another_network_are_refused(tmp_path: Path, small_backbone: keras.Model) -> None:
    path = tmp_path / "small.weights.h5"
    small_backbone.save_weights(path)
    with pytest.raises(ValueError, match=r"small\.weights\.h5: these weights do not fit InceptionResNetV2"):
        inception_resnet_v2(75, 3, str(path))


@pytest.mark.parametrize(("steps", "momentum"), [(1, 0.5), (20, 0.9), (100, 0.98), (1554, 0.99)])
def test_moving_averages_cover_half_an_epoch_at_most(steps: int, momentum: float) -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    follow_short_epochs(keras.Sequential([keras.Input((4,)), inner]), steps)
    assert inner.layers[0].momentum == pytest.approx(momentum)
