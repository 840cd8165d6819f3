import pytest
import tensorflow as tf

from components.train import precision
from components.train.precision import resolve_precision


@pytest.mark.parametrize(
    ("flags", "image_size_px", "expected"),
    [
        ({"avx512_bf16"}, 75, "float32"),
        ({"avx512_bf16"}, 149, "bfloat16"),
        ({"amx_bf16"}, 75, "float32"),
        ({"amx_bf16"}, 299, "bfloat16"),
        ({"avx2"}, 299, "float32"),
    ],
)
def test_auto_on_a_cpu_is_bfloat16_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], image_size_px: int, expected: str
) -> None:
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees a GPU here")
    monkeypatch.setattr(precision, "_cpu_flags", lambda: flags)
    assert resolve_precision("auto", image_size_px) == expected


@pytest.mark.parametrize("asked", ["float32", "float16", "bfloat16"])
def test_a_precision_that_was_asked_for_is_taken(asked: str) -> None:
    assert resolve_precision(asked, 75) == asked
