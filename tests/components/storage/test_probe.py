import os
import subprocess
import sys
from pathlib import Path

import pytest

from components import storage
from components.runtime.exit_status import UNKNOWN, WRONG
from components.storage import gcs as gcs_storage
from components.storage.probe import main
from pipeline.compiled import ROOT
from tests.gcs_servers import Faults, answer


def test_a_place_that_can_be_written_to_is_left_as_it_was(emulated_root: str, tmp_path: Path) -> None:
    assert main([emulated_root, str(tmp_path)]) == 0
    assert storage.list_names(emulated_root) == []
    assert storage.list_names(str(tmp_path)) == []


def test_a_bucket_that_is_not_there_is_named(emulated_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gs://none-of-this-name/x", emulated_root]) == WRONG
    assert "no bucket gs://none-of-this-name" in capsys.readouterr().err


@pytest.mark.parametrize("position", [0, 1])
def test_who_may_not_write_or_not_clear_it_again_is_told(
    emulated_root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], position: int
) -> None:
    with Faults(os.environ["STORAGE_EMULATOR_HOST"]) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.address)
        gcs_storage.close()
        proxy.planned = [lambda _: False] * position + [answer(403)] * 2
        assert main([emulated_root]) == WRONG
        assert "access denied. Give the account that runs this step the role Storage Object User" in capsys.readouterr().err
        gcs_storage.close()
        proxy.shutdown()


def test_without_credentials_it_is_not_known(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "STORAGE_EMULATOR_HOST"}
    environment |= {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    command = [sys.executable, "-m", "components.storage.probe", "gs://cells/x"]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == UNKNOWN
    assert process.stderr.startswith("gs://cells/x/preflight-")
    assert "there are no Google Cloud credentials" in process.stderr
    assert "Traceback" not in process.stderr
