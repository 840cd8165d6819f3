"""The plain `kfp` command lines that the documentation gives, by the real command, on pipeline.yaml as it is."""

import re
import shlex
import warnings
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from kfp.cli import cli

from pipeline.compiled import ROOT
from tests.pipeline.kfp_server import KfpServer, running_kfp_server

RUN = """
kfp run create -e hpa -r first-run -f pipeline.yaml \\
    source=kaggle:human-protein-atlas-image-classification data_root=gs://my-bucket/hpa serving_root=gs://my-bucket/models
"""
SCHEDULE = """
kfp recurring-run create --experiment-name hpa --job-name retraining --pipeline-package-path pipeline.yaml \\
    --cron-expression '0 0 3 * * 0' --max-concurrency 1 --no-catchup --enabled \\
    source=kaggle:human-protein-atlas-image-classification data_root=gs://my-bucket/hpa serving_root=gs://my-bucket/models
"""


def _lines(text: str) -> list[str]:
    """The kfp commands of a text, each in one line, on the pipeline.yaml that is here."""
    joined = re.sub(r"\\\n *", "", text)
    return [line.replace("cluster.yaml", "pipeline.yaml") for line in joined.splitlines() if line.startswith("kfp ")]


DOCUMENTED = [line for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")) for line in _lines(path.read_text("utf-8"))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpServer]:
    monkeypatch.chdir(ROOT)
    with running_kfp_server() as running:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", running.address)
        yield running


def _kfp(line: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KFP's, of servers before version 2
        return CliRunner().invoke(cli.cli, shlex.split(line)[1:], obj={}, auto_envvar_prefix="KFP")


@pytest.mark.parametrize("line", [*_lines(RUN + SCHEDULE), *DOCUMENTED])
def test_a_documented_line_is_taken_by_the_server(server: KfpServer, line: str) -> None:
    done = _kfp(line)
    assert done.exit_code == 0, done.output + str(done.exception)
    assert len(server.runs) + len(server.recurring_runs) == ("create" in line)


def test_the_schedule_is_active_and_starts_one_run_at_a_time(server: KfpServer) -> None:
    _kfp(_lines(SCHEDULE)[0])
    (made,) = server.recurring_runs.values()
    assert (made["mode"], made["max_concurrency"], made["no_catchup"]) == ("ENABLE", "1", True)
    assert made["runtime_config"]["parameters"]["data_root"] == "gs://my-bucket/hpa"


def test_a_run_takes_numbers_and_a_schedule_takes_text_alone(server: KfpServer) -> None:
    assert _kfp(_lines(RUN)[0] + ' epochs=3 \'gpu_node_selector={"pool": "gpu"}\'').exit_code == 0
    (run,) = server.runs.values()
    assert run["runtime_config"]["parameters"]["epochs"] == 3
    refused = _kfp(_lines(SCHEDULE)[0] + " epochs=3")
    assert "input parameter epochs requires type NUMBER_INTEGER" in str(refused.exception)
    assert not server.recurring_runs


def test_without_a_word_kfp_makes_a_schedule_that_never_starts(server: KfpServer) -> None:
    """Why the line says --enabled."""
    assert _kfp(_lines(SCHEDULE)[0].replace(" --enabled", "")).exit_code == 0
    (made,) = server.recurring_runs.values()
    assert made["mode"] == "DISABLE"
