from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.examples import open_splits
from components.artifacts.manifest import Examples
from components.evaluate.inference import ExportedModel
from components.evaluate.pictures import BEST, OTHER, WORST, Choice, choose_pictures, draw_pictures


def test_a_class_is_shown_by_its_best_and_worst_image_and_by_the_likeliest_other() -> None:
    y_true = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], bool)
    y_score = np.array([[0.5, 0, 0.1], [0.9, 0.3, 0.2], [0.4, 0.8, 0.3], [0.1, 0.2, 0], [0.6, 0.1, 0]])
    assert choose_pictures(y_true, y_score) == [
        Choice(0, BEST, 1),
        Choice(0, WORST, 3),
        Choice(0, OTHER, 4),
        Choice(1, BEST, 1),  # alone: it is the worst one too
        Choice(1, OTHER, 2),
        Choice(2, OTHER, 2),  # shown by none
    ]


def test_many_classes_do_not_make_many_pictures() -> None:
    y_true = np.random.default_rng(0).random((50, 500)) < 0.5
    assert len(choose_pictures(y_true, y_true.astype(float))) <= 96


@pytest.mark.parametrize("with_maps", [True, False])
def test_the_chosen_images_are_drawn_with_the_maps_that_the_model_gives(
    make_examples: Callable[..., Examples], make_model: Callable[..., Path], tmp_path: Path, with_maps: bool
) -> None:
    examples = make_examples(tmp_path, {"train": 0, "validation": 0, "test": 12})
    model = ExportedModel(make_model(tmp_path / "model", with_maps=with_maps))
    with open_splits(examples, ["test"]) as splits:
        judged = model.score(splits["test"])
        found = draw_pictures(model, splits["test"], judged)
    assert found.map_size == ("8 x 8" if with_maps else "")
    assert [(p.label, p.kind, p.position) for p in found.pictures] == [
        (c.label, c.kind, c.position) for c in choose_pictures(judged.y_true, judged.y_score)
    ]
    for picture in found.pictures:
        assert tf.io.decode_jpeg(picture.jpeg).shape == (200, 400 if with_maps else 200, 3)
    if with_maps:
        best = next(picture for picture in found.pictures if picture.kind == BEST)
        right = tf.io.decode_jpeg(best.jpeg).numpy()[:, 200:].astype(int)
        warmth = (right[:, :, 0] - right[:, :, 2]).mean(axis=1)
        # The row of pixels that makes the class is where it is warm.
        assert 25 * best.label <= int(warmth.argmax()) < 25 * (best.label + 1)
