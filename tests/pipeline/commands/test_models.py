import logging
from pathlib import Path

from tests.components.conftest import MakeModel, blessing, make_model  # noqa: F401 (a fixture)
from tests.pipeline.commands.conftest import invoke


def _models(serving_root: Path, *words: str) -> tuple[int, str, str]:
    done = invoke("models", *words, "--serving-root", serving_root)
    return done.exit_code, done.stdout, done.stderr


def test_there_is_no_version_before_the_first_push(tmp_path: Path) -> None:
    for action in ("list", "verify"):
        assert _models(tmp_path, action) == (0, f"{tmp_path}/hpa: no version yet\n", "")
    status, _, said = _models(tmp_path, "rollback", "1")
    assert (status, "expected one of the versions (none)" in said) == (1, True)
    status, _, said = _models(tmp_path, "list", "--model-name", "../x")
    assert (status, said.startswith("model_name: expected letters")) == (1, True)


def test_versions_are_listed_verified_and_rolled_back(make_model: MakeModel, tmp_path: Path) -> None:  # noqa: F811
    from components.serving.promotion import push_model  # noqa: PLC0415

    push_model(make_model("f1"), blessing(), str(tmp_path), "hpa")
    status, said, _ = _models(tmp_path, "list")
    assert (status, said.split()[0], "model f1  evaluation e  champion" in said) == (0, "1", True)
    status, said, _ = _models(tmp_path, "rollback", "1")
    assert (status, said) == (0, f"version 1 is the champion (it was already): {tmp_path}/hpa/1\n")
    assert _models(tmp_path, "verify")[0] == 0
    (tmp_path / "hpa" / "1" / "saved_model.pb").unlink()
    status, said, _ = _models(tmp_path, "verify")
    assert (status, said.startswith("version 1: unfinished")) == (1, True)
    assert logging.getLogger("components").propagate
