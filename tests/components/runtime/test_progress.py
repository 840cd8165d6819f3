import errno
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.runtime.progress import progress_bar, step_log

_ROOT = Path(__file__).parents[3]


def test_each_line_names_the_step_and_the_last_one_its_duration(capsys: pytest.CaptureFixture[str]) -> None:
    with step_log("ingest"):
        logging.getLogger("components.ingest.raw").info("%d samples", 3)
        logging.getLogger("components.ingest.raw").debug("not shown")
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ingest | ") for line in lines)
    assert "ingest | 3 samples" in lines
    assert re.fullmatch(r"ingest \| done in \d+ s", lines[-1])
    assert "not shown" not in "".join(lines)


def test_a_step_has_the_variables_set_by_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("HPA_AWS_REGION", "eu-west-1")
    with step_log("ingest"):
        assert os.environ["AWS_REGION"] == "eu-west-1"


def test_a_step_that_fails_does_not_say_that_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), step_log("ingest"):
        raise RuntimeError("no")
    assert "done" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/a.png"), "/data/a.png"),
        (RuntimeError("Traceback:\n  ...\nOSError: [Errno 28] No space left on device: '/data/b.png'\n\n"), "/data/b.png"),
        (RuntimeError("ResourceExhausted: /data/model; No space left on device\n at ..."), "ResourceExhausted: /data/model;.*"),
    ],
)
def test_a_full_disk_is_reported_with_advice(error: Exception, where: str) -> None:
    message = f"No space left on device: free some space there and run the same command again, which resumes: '{where}'"
    with pytest.raises(OSError, match=message) as raised, step_log("train"):
        raise error
    assert raised.value.errno == errno.ENOSPC


def test_progress_is_plain_lines_with_count_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with step_log("convert"), progress_bar(4, "samples") as bar:
        bar.update(4)
    lines = capsys.readouterr().out.splitlines()
    assert not any("| 0/4" in line for line in lines)  # there is no estimate of the time left yet
    assert re.match(r"convert \| 4/4 samples, 100 %, .*ETA 00:00", lines[-2])
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_a_step_ends_when_the_process_that_started_it_was_killed() -> None:
    step = """if True:
        import time
        from components.runtime.progress import step_log
        with step_log("train"):
            print("working", flush=True)
            time.sleep(60)
    """
    runner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {step!r}])"
    with subprocess.Popen([sys.executable, "-c", runner], cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "working\n":
            pass
        process.kill()
        # The step also holds the pipe's write end, so reading ends only once both processes have ended.
        process.communicate(timeout=30)


def test_a_step_whose_runner_was_killed_before_it_began_ends_at_once() -> None:
    step = "import time\nfrom components.runtime.progress import step_log\nwith step_log('train'):\n    time.sleep(60)\n"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    environment = os.environ | {"HPA_RUNNER_PID": gone.stdout.strip()}
    finished = subprocess.run([sys.executable, "-c", step], cwd=_ROOT, env=environment, check=False, timeout=50)
    assert finished.returncode == 1
