import pytest
import tensorflow as tf

from components.train import precision
from components.train.precision import resolve_precision


@pytest.mark.parametrize(
    ("has_bfloat16", "image_size_px", "expected"),
    [(True, 75, "float32"), (True, 149, "bfloat16"), (True, 299, "bfloat16"), (False, 299, "float32")],
)
def test_auto_on_a_cpu_is_bfloat16_if_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, image_size_px: int, expected: str
) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees a GPU here")
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: has_bfloat16)
    assert resolve_precision("auto", image_size_px) == expected


@pytest.mark.parametrize("asked", ["float32", "float16", "bfloat16"])
def test_an_explicit_precision_is_used(asked: str) -> None:
    assert resolve_precision(asked, 75) == asked
