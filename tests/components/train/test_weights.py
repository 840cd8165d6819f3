from pathlib import Path

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
import pytest

from components import storage
from components.train.model import BACKBONES, build_backbone
from components.train.weights import adapt, first_difference, with_weights


def _build(num_channels: int, is_pretrained: bool = False, num_filters: int = 4) -> keras.Model:
    assert not is_pretrained
    pixels = keras.Input((16, 16, num_channels))
    features = keras.layers.Conv2D(num_filters, 3, name=f"first_{num_channels}", use_bias=False)(pixels)
    features = keras.layers.BatchNormalization()(features)
    return keras.Model(pixels, keras.layers.Conv2D(5, 3)(features))


def _save_older(network: keras.Model, path: Path) -> None:
    """The format of Keras 2, in which Keras Applications still publishes weights."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{number}:0" for number in range(len(layer.weights))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=values)


@pytest.fixture(params=["weights.h5", "h5"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[keras.Model, Path]:
    network, path = _build(3), tmp_path / f"some.{request.param}"
    if request.param == "h5":
        _save_older(network, path)
    else:
        network.save_weights(path)
    return network, path


def _same(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_weights_are_loaded_from_a_file(saved: tuple[keras.Model, Path]) -> None:
    network, path = saved
    assert _same(with_weights(_build, 3, str(path)), network)


def test_weights_are_loaded_from_an_object_store(saved: tuple[keras.Model, Path], bucket_root: str) -> None:
    network, path = saved
    uri = storage.join(bucket_root, path.name)
    storage.store(path, uri)
    assert _same(with_weights(_build, 3, uri), network)


def test_weights_for_three_channels_fit_four(saved: tuple[keras.Model, Path]) -> None:
    network, path = saved
    wide = with_weights(_build, 4, str(path))
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 1)).astype(np.float32)
    # An image with equal channels gives the same features.
    assert np.allclose(wide(np.repeat(pixels, 4, axis=3)), network(np.repeat(pixels, 3, axis=3)), atol=1e-5)
    assert not np.allclose(wide.layers[1].get_weights()[0][:, :, 3], 0)


def test_the_fourth_kernel_is_the_mean_of_three() -> None:
    narrow = _build(3)
    kernel = narrow.layers[1].get_weights()[0]
    found = adapt(narrow, _build(4)).layers[1].get_weights()[0]
    assert np.allclose(found, np.concatenate([kernel, kernel.mean(axis=2, keepdims=True)], axis=2) * 0.75)


@pytest.mark.parametrize("num_channels", [1, 2, 5])
def test_weights_for_three_channels_fit_other_numbers(saved: tuple[keras.Model, Path], num_channels: int) -> None:
    network, path = saved
    adapted = with_weights(_build, num_channels, str(path))
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 1)).astype(np.float32)
    assert np.allclose(adapted(np.repeat(pixels, num_channels, axis=3)), network(np.repeat(pixels, 3, axis=3)), atol=1e-5)


# ConvNeXtTiny has layers within layers, Keras Applications publishes the older kind, and no data has more than eight stains.
_QUICK_FILE = ("convnext_tiny", "h5", 8)
_FILES = [(name, kind, number) for name in BACKBONES for kind in ("h5", "weights.h5") for number in (1, 3, 4, 8)]


@pytest.mark.parametrize(
    ("name", "kind", "num_channels"),
    [pytest.param(*file, marks=[] if file == _QUICK_FILE else pytest.mark.long) for file in _FILES],
)
@pytest.mark.filterwarnings("ignore:This model usually expects 1 or 3 input channels")
def test_weights_of_each_backbone_fit_one_to_eight_channels(tmp_path: Path, name: str, kind: str, num_channels: int) -> None:
    """Weights for three channels, of each network and kind of file, fit one to eight channels and give the same output."""
    keras.utils.set_random_seed(0)
    network, path = build_backbone(name, 75, 3, "none"), tmp_path / f"some.{kind}"
    if kind == "h5":
        _save_older(network, path)
    else:
        network.save_weights(path)
    adapted = build_backbone(name, 75, num_channels, str(path))
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 1)).astype(np.float32)
    expected = network(np.repeat(pixels, 3, axis=3)).numpy()
    assert np.allclose(adapted(np.repeat(pixels, num_channels, axis=3)), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("num_channels", [3, 4])
def test_a_file_of_another_shape_is_refused_with_the_first_layer_that_differs(
    saved: tuple[keras.Model, Path], num_channels: int
) -> None:
    def build(num_channels: int, _is_pretrained: bool) -> keras.Model:
        return _build(num_channels, num_filters=6)

    _, path = saved
    with pytest.raises(
        ValueError, match=rf"expected first_{num_channels} with weights of \(3, 3, {num_channels}, 6\)\. Received"
    ):
        with_weights(build, num_channels, str(path))


def test_a_file_with_fewer_layers_is_refused(saved: tuple[keras.Model, Path]) -> None:
    network, path = saved
    longer = keras.Model(network.input, keras.layers.Conv2D(2, 3, name="last")(network.output))
    assert "expected last with weights of (3, 3, 5, 2), (2,). Received:" in first_difference(path, longer)
    assert first_difference(path, network) == ""


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x89HDF\r\n\x1a\n"])
def test_another_file_than_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.h5 does not fit functional.*: it is not a Keras weights file"):
        with_weights(_build, 3, str(path))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no /nowhere/weights\.h5"):
        build_backbone("inception_resnet_v2", 75, 3, "/nowhere/weights.h5")


@pytest.mark.parametrize("num_channels", [3, 4])
def test_without_network_access_the_error_explains_how_to_provide_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, num_channels: int
) -> None:
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.raises(ConnectionError, match=r"weights of inception_resnet_v2 could not be downloaded .*weights=<path>"):
        build_backbone("inception_resnet_v2", 75, num_channels, "imagenet")
