"""The plain `kfp` command lines in the documentation, run by the real command on the committed pipeline.yaml."""

import shlex
import warnings
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from kfp.cli import cli

from pipeline.compiled import ROOT
from tests.documents import commands
from tests.pipeline.kfp_server import KfpServer, running_kfp_server

ARGUMENTS = (
    "source=kaggle:human-protein-atlas-image-classification data_root=gs://my-bucket/hpa serving_root=gs://my-bucket/models"
)
RUN = f"kfp run create -e hpa -r first-run -f pipeline.yaml {ARGUMENTS}"
SCHEDULE = (
    "kfp recurring-run create --experiment-name hpa --job-name retraining --pipeline-package-path pipeline.yaml "
    f"--cron-expression '0 0 3 * * 0' --max-concurrency 1 --no-catchup --enabled {ARGUMENTS}"
)
DOCUMENTED = [
    shlex.join(command.words)
    for command in commands()
    if command.starts_with("kfp", "run", "create", "-e") or command.starts_with("kfp", "recurring-run", "create")
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpServer]:
    monkeypatch.chdir(ROOT)
    with running_kfp_server() as running:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", running.address)
        yield running


def _kfp(line: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KFP's, about servers before version 2
        return CliRunner().invoke(cli.cli, shlex.split(line)[1:], obj={}, auto_envvar_prefix="KFP")


@pytest.mark.parametrize("line", [RUN, SCHEDULE, *DOCUMENTED])
def test_the_server_accepts_the_documented_commands(server: KfpServer, line: str) -> None:
    done = _kfp(line.replace("cluster.yaml", "pipeline.yaml"))
    assert done.exit_code == 0, done.output + str(done.exception)
    assert len(server.runs) + len(server.recurring_runs) == 1


def test_the_schedule_is_active_and_starts_one_run_at_a_time(server: KfpServer) -> None:
    _kfp(SCHEDULE)
    (made,) = server.recurring_runs.values()
    assert (made["mode"], made["max_concurrency"], made["no_catchup"]) == ("ENABLE", "1", True)
    assert made["runtime_config"]["parameters"]["data_root"] == "gs://my-bucket/hpa"


def test_a_run_takes_numbers_and_a_schedule_only_text(server: KfpServer) -> None:
    assert _kfp(RUN + ' epochs=3 \'gpu_node_selector={"pool": "gpu"}\'').exit_code == 0
    (run,) = server.runs.values()
    assert run["runtime_config"]["parameters"]["epochs"] == 3
    refused = _kfp(SCHEDULE + " epochs=3")
    assert "input parameter epochs requires type NUMBER_INTEGER" in str(refused.exception)
    assert not server.recurring_runs


def test_kfp_creates_a_disabled_schedule_by_default(server: KfpServer) -> None:
    """The reason for --enabled in the documented line."""
    assert _kfp(SCHEDULE.replace(" --enabled", "")).exit_code == 0
    (made,) = server.recurring_runs.values()
    assert made["mode"] == "DISABLE"
