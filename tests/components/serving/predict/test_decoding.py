from pathlib import Path

import numpy as np
import pytest

from components.images.decode import sample_pixels
from components.serving.predict.decoding import ImageForm, decoded_batches
from components.serving.predict.folder import ImageFiles, find_images

_FORM = ImageForm(("green", "red"), 40)


def test_batches_equal_converts_pixels_in_order(cells_dir: Path) -> None:
    samples = find_images(str(cells_dir), list(_FORM.filters)).samples
    samples[40] = ImageFiles("gone", {"green": f"{cells_dir}/gone_green.png"}, 1)
    with decoded_batches(samples, str(cells_dir), _FORM) as decoded:
        batches = list(decoded)
    assert [len(batch.ids) for batch in batches] == [32, 32, 6]
    assert [sample_id for batch in batches for sample_id in batch.ids] == [sample.sample_id for sample in samples]
    pixels = np.concatenate([batch.pixels for batch in batches])
    reasons = [reason for batch in batches for reason in batch.reasons]
    assert reasons[40].startswith("an image cannot be read: ")
    assert "gone_green.png" in reasons[40]
    assert not pixels[40].any()
    for position in (0, 31, 32, 69):
        files = {name: Path(uri).read_bytes() for name, uri in samples[position].uris.items()}
        assert np.array_equal(pixels[position], sample_pixels(files, _FORM.filters, 40))
        assert reasons[position] == ""


def test_stopping_early_leaves_no_process_running(cells_dir: Path) -> None:
    samples = find_images(str(cells_dir), list(_FORM.filters)).samples * 20
    with decoded_batches(samples, str(cells_dir), _FORM) as decoded:
        first = next(decoded)
    assert first.ids[0] == "s00"
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(decoded)


@pytest.mark.parametrize(("side_px", "size"), [(75, 32), (299, 32), (1024, 5), (3072, 1)])
def test_large_images_come_in_smaller_batches(side_px: int, size: int) -> None:
    assert ImageForm(("red", "green", "blue"), side_px).batch_size == size
