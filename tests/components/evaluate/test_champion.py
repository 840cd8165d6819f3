from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.evaluate.champion import read_champion
from components.shared.champion import Champion
from components.shared.manifest import Examples

MakeExamples = Callable[..., Examples]
MakeChampion = Callable[..., Champion]


def test_the_champion_brings_its_thresholds_and_the_ids_that_it_was_trained_on(
    make_champion: MakeChampion, tmp_path: Path
) -> None:
    champion = make_champion(tmp_path, thresholds=(0.1, 0.2, 0.3, 0.4, 0.5), training_ids=("a b", "c"))
    served = read_champion(champion)
    assert (served.version, served.trained.fingerprint) == (3, "champion0")
    assert served.thresholds.tolist() == np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32).tolist()
    assert served.training_ids == {"a b", "c"}
    assert (served.fetch(tmp_path / "here") / "saved_model.pb").is_file()


def test_a_champion_for_other_examples_says_what_differs(
    make_champion: MakeChampion, make_examples: MakeExamples, tmp_path: Path
) -> None:
    examples = make_examples(tmp_path, {"train": 1, "validation": 1, "test": 1})
    assert read_champion(make_champion(tmp_path / "same")).obstacle(examples) == ""
    other = read_champion(make_champion(tmp_path / "other", class_names=["Nucleus", "Cytosol"], image_size_px=75))
    assert other.obstacle(examples) == (
        "its classes are Nucleus, Cytosol, and those of the examples Nucleus, Cytosol, Vesicles, Rods & rings, Aggresome; "
        "its pixels a side are 75, and those of the examples 8"
    )
    grey = examples.model_copy(update={"channels": ["green"]})
    assert "its channels are red, green, blue, and those of the examples green" in read_champion(
        make_champion(tmp_path / "grey")
    ).obstacle(grey)


@pytest.mark.parametrize("name", ["assets/thresholds.csv", "assets.extra/model.json", "assets.extra/training_ids.txt"])
def test_a_folder_that_is_not_whole_is_named(make_champion: MakeChampion, tmp_path: Path, name: str) -> None:
    champion = make_champion(tmp_path)
    Path(champion.uri, name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"hpa/3: the champion \(version 3\) lacks {name}"):
        read_champion(champion)
