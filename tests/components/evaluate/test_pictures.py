from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.examples import open_splits
from components.artifacts.manifest import Examples
from components.evaluate.inference import LoadedModel
from components.evaluate.pictures import FALSE_ALARM, FOUND, MISSED, Choice, choose_pictures, draw_pictures


def test_a_class_is_shown_by_the_clearest_image_of_each_kind() -> None:
    y_true = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], bool)
    y_score = np.array([[0.6, 0.8, 0.1], [0.9, 0.7, 0.2], [0.7, 0.9, 0.3], [0.1, 0.6, 0], [0.8, 0.1, 0], [0.2, 0.8, 0.1]])
    assert choose_pictures(y_true, y_score, y_score >= 0.5) == [
        Choice(1, FOUND, 0),  # the first of two with all classes right; more images show this class than the others
        Choice(0, FOUND, 1),
        Choice(0, MISSED, 3),
        Choice(0, FALSE_ALARM, 4),
    ]  # the last class is never shown and never predicted


def test_the_number_of_pictures_is_bounded() -> None:
    y_true = np.random.default_rng(0).random((50, 500)) < 0.5
    y_pred = np.random.default_rng(1).random((50, 500)) < 0.5
    assert len(choose_pictures(y_true, y_pred.astype(float), y_pred)) == 96


@pytest.mark.parametrize("with_maps", [True, False])
def test_the_chosen_images_are_drawn_with_the_models_maps(
    make_examples: Callable[..., Examples], make_model: Callable[..., Path], tmp_path: Path, with_maps: bool
) -> None:
    examples = make_examples(tmp_path, {"train": 0, "validation": 0, "test": 12})
    model = LoadedModel(make_model(tmp_path / "model", with_maps=with_maps))
    with open_splits(examples, ["test"]) as splits:
        judged = model.score(splits["test"])
        thresholds = np.full(6, 0.5, np.float32)
        found, with_bars = (
            draw_pictures(model, splits["test"], judged, thresholds, dict.fromkeys(splits["test"].ids, width_um))
            for width_um in (0, 16.0)
        )
    assert found.map_size == ("8 x 8" if with_maps else "")
    assert [(p.label, p.kind, p.position) for p in found.pictures] == [
        (c.label, c.kind, c.position) for c in choose_pictures(judged.y_true, judged.y_score, judged.y_score >= 0.5)
    ]
    for picture, with_bar in zip(found.pictures, with_bars.pictures, strict=True):
        assert tf.io.decode_jpeg(picture.jpeg).shape == (200, 400 if with_maps else 200, 3)
        assert tf.io.decode_jpeg(with_bar.jpeg).numpy()[194, 140:190].min() > 200
    if with_maps:
        best = next(picture for picture in found.pictures if picture.kind == FOUND)
        right = tf.io.decode_jpeg(best.jpeg).numpy()[:, 200:].astype(int)
        warmth = (right[:, :, 0] - right[:, :, 2]).mean(axis=1)
        # The map is warm at the row of pixels that encodes the class.
        assert 25 * best.label <= int(warmth.argmax()) < 25 * (best.label + 1)
