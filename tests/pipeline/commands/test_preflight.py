import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from pipeline.commands.preflight import _show
from pipeline.compiled import ROOT, load_steps
from pipeline.preflight.finding import FailedError, Finding, NotCheckedError, Verdict, run_checks
from tests.pipeline.commands.conftest import invoke
from tests.pipeline.conftest import ARGO_PATH, NODES_PATH, SECRETS_PATH, MakeFile, config_map, gpu_node, node, nodes, secrets
from tests.pipeline.preflight.loopback import Answer, Loopback

CHECKS = [
    "parameters",
    "API server",
    "images",
    "GPU nodes",
    "room on nodes",
    "retries",
    "secrets",
    "source",
    "weights",
    "data and models",
    "disk",
]


def _preflight(*words: str, **environment: str) -> Result:
    return invoke("preflight", "--timeout", "300", *words, **environment)


def _lines(done: Result) -> dict[str, str]:
    """The line of each check, beginning with the verdict."""
    lines = {}
    for line in done.stdout.splitlines()[:-1]:
        verdict, check, text = line.split(": ", 2)
        lines[check] = f"{verdict}: {text}"
    return lines


def test_a_ready_cluster_passes(
    make_file: MakeFile, loopback: Loopback, kubeconfig: Path, emulated_root: str, tmp_path: Path
) -> None:
    loopback.answers = {
        "/apis/v2beta1/healthz": Answer(body={"multi_user": False}),
        "/apis/v1beta1/healthz": Answer(body={"tag_name": "2.17.0"}),
        "/apis/v2beta1/experiments": Answer(body={}),
        NODES_PATH: nodes(node("cpu-1"), gpu_node()),
        SECRETS_PATH: secrets(),
        ARGO_PATH: config_map(
            workflowDefaults='{"spec": {"templateDefaults": {"retryStrategy": {"limit": "0", "retryPolicy": "Always"}}}}'
        ),
    }
    loopback.answers |= {f"/v2/hpa/{step}/manifests/1": Answer() for step in load_steps()}
    done = _preflight(
        "source=synthetic:450",
        f"data_root={emulated_root}/data",
        f"serving_root={emulated_root}/models",
        "weights=none",
        "--file",
        str(make_file(f"{loopback.netloc}/hpa")),
        "--host",
        loopback.url,
        KFP_EXISTING_TOKEN="open-sesame",
        DOCKER_CONFIG=str(tmp_path),
    )
    lines = _lines(done)
    assert list(lines) == CHECKS, done.stderr
    assert {check: line for check, line in lines.items() if not line.startswith("ok: ")} == {}
    assert done.stdout.splitlines()[-1] == f"{len(CHECKS)} ok. docs/preflight.md explains each line."
    assert "450 samples of 299 px in 3 channels are 121 MB of examples" in lines["disk"]
    assert done.exit_code == 0
    assert "sesame" not in done.stdout + done.stderr
    assert done.stderr == ""


def test_each_check_reports_its_verdict_and_one_failure_fails(tmp_path: Path, kubeconfig: Path) -> None:
    kubeconfig.unlink()
    done = _preflight("data_root=/data", "--host", "http://127.0.0.1:9", DOCKER_CONFIG=str(tmp_path))
    lines = _lines(done)
    assert list(lines) == CHECKS, done.stderr
    assert lines["parameters"] == "FAILED: serving_root, source: required, and not given. Give them as NAME=VALUE"
    assert lines["API server"].startswith("FAILED: http://127.0.0.1:9 cannot be reached")
    assert lines["images"].startswith("FAILED: hpa-pipeline/")
    assert lines["GPU nodes"].startswith("not checked: there is nothing usable in the kubeconfig")
    assert lines["source"] == "not checked: source is not given"
    assert lines["data and models"].startswith("FAILED: data_root=/data is a path")
    assert "4 FAILED, 7 not checked" in done.stdout
    assert done.exit_code == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_invalid_arguments_and_missing_files_are_refused(tmp_path: Path) -> None:
    done = _preflight("sourc=synthetic:40")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.strip() == "there is no parameter sourc. Did you mean source?"
    done = _preflight("--file", str(tmp_path / "none.yaml"))
    assert done.exit_code == 1
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hanging_or_broken_check_does_not_affect_the_others(loopback: Loopback) -> None:
    def fail() -> str:
        raise FailedError("no room")

    def look_away() -> str:
        raise NotCheckedError("it is dark")

    def break_down() -> str:
        raise KeyError("sesame")

    def read_on() -> str:
        return input_pipe.read()

    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as input_pipe:
        checks = {"slow": read_on, "good": lambda: "seen", "bad": fail, "dark": look_away, "broken": break_down}
        findings = run_checks(checks, timeout_s=1)
        os.close(write_end)
    assert findings == [
        Finding("slow", Verdict.NOT_CHECKED, "no answer within 1 s"),
        Finding("good", Verdict.OK, "seen"),
        Finding("bad", Verdict.FAILED, "no room"),
        Finding("dark", Verdict.NOT_CHECKED, "it is dark"),
        Finding("broken", Verdict.NOT_CHECKED, "the check itself failed with a KeyError"),
    ]


@pytest.mark.parametrize("verdict", Verdict)
def test_a_terminal_shows_a_table(verdict: Verdict) -> None:
    file = io.StringIO()
    _show([Finding("images", verdict, "say [bold]")], Console(file=file, force_terminal=True, width=100, highlight=False))
    said = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert re.search(rf"^images +{verdict} +say \[bold\] *$", said, re.MULTILINE)
    assert f"1 {verdict}. docs/preflight.md explains each line." in said


def test_the_documentation_explains_every_check() -> None:
    text = (ROOT / "docs" / "preflight.md").read_text(encoding="utf-8")
    table = text.partition("| check | ")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([\w ]+) \|", table, re.MULTILINE) == CHECKS
