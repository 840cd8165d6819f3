import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.record_writer import encode_example
from components.artifacts.records import parse_example


@pytest.mark.parametrize("shape", [(5, 5, 3), (4, 7, 4)])
def test_an_example_comes_back_as_it_was_written(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    parsed = parse_example(tf.constant(encode_example("a-1", pixels, (0, 4))), shape, 6)
    np.testing.assert_array_equal(parsed["pixels"], pixels)
    assert parsed["pixels"].dtype == tf.uint8
    assert parsed["labels"].numpy().tolist() == [1, 0, 0, 0, 1, 0]
    assert parsed["id"].numpy() == b"a-1"


def test_an_example_without_labels_has_only_zeros() -> None:
    record = encode_example("a", np.zeros((1, 1, 3), np.uint8), ())
    assert parse_example(tf.constant(record), (1, 1, 3), 3)["labels"].numpy().tolist() == [0, 0, 0]


def test_an_example_names_its_features_as_documented() -> None:
    example = tf.train.Example.FromString(encode_example("a", np.full((2, 3, 4), 9, np.uint8), (1, 5)))
    features = example.features.feature
    assert features["image/raw"].bytes_list.value == [b"\x09" * 24]
    assert features["image/height"].int64_list.value == [2]
    assert features["image/width"].int64_list.value == [3]
    assert features["image/channels"].int64_list.value == [4]
    assert features["image/filename"].bytes_list.value == [b"a"]
    assert features["image/class/label"].int64_list.value == [1, 5]
    assert len(features) == 6


def test_an_example_of_another_shape_is_not_read_as_if_it_fitted() -> None:
    record = encode_example("a", np.zeros((4, 4, 3), np.uint8), (0,))
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_example(tf.constant(record), (5, 5, 3), 1)
