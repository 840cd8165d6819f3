from pathlib import Path

import pytest

from components.serving.champion import Champion, find_champion, pointer_uri, promote
from components.storage import SwappedMeanwhileError


def test_a_promoted_champion_is_found(tmp_path: Path) -> None:
    serving = str(tmp_path / "serving")
    assert find_champion(serving, "hpa") is None
    promote(Champion(3, "", "m", "e", generation=""), serving, "hpa")
    champion = find_champion(serving, "hpa")
    assert champion == Champion(3, f"{serving}/hpa/3", "m", "e", champion.generation if champion else "")
    assert find_champion(serving, "other") is None
    assert Path(pointer_uri(serving, "hpa")).read_text() == (
        '{\n  "version": 3,\n  "model_fingerprint": "m",\n  "evaluation_fingerprint": "e",\n  "crc32": "54201593"\n}\n'
    )


def test_only_a_promotion_with_the_current_generation_succeeds(tmp_path: Path) -> None:
    promote(Champion(1, "", "m1", "e1", generation=""), str(tmp_path), "hpa")
    seen = find_champion(str(tmp_path), "hpa")
    assert seen
    promote(Champion(2, "", "m2", "e2", seen.generation), str(tmp_path), "hpa")
    with pytest.raises(SwappedMeanwhileError):
        promote(Champion(3, "", "m3", "e3", seen.generation), str(tmp_path), "hpa")
    champion = find_champion(str(tmp_path), "hpa")
    assert champion
    assert champion.version == 2


@pytest.mark.parametrize("content", ["", "1", "[]", '{"version": 0}', '{"version": 1, "model_fingerprint": "m"}'])
def test_a_damaged_pointer_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "hpa").mkdir()
    (tmp_path / "hpa" / "champion.json").write_text(content)
    with pytest.raises(
        ValueError, match=f"{tmp_path}/hpa/champion.json is damaged: expected JSON with version, model_fingerprint"
    ):
        find_champion(str(tmp_path), "hpa")


@pytest.mark.object_store
def test_a_promoted_champion_is_found_in_an_object_store(remote_root: str) -> None:
    assert find_champion(remote_root, "hpa") is None
    promote(Champion(3, "", "m", "e", generation=""), remote_root, "hpa")
    champion = find_champion(remote_root, "hpa")
    assert champion == Champion(3, f"{remote_root}/hpa/3", "m", "e", champion.generation if champion else "")
