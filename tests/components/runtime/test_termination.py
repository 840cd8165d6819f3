import signal
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]

_STEP = """if True:
    import time
    from components.runtime.progress import step_log
    with step_log("train"):
        try:
            print("working", flush=True)
            time.sleep(60)
        finally:
            print("cleaned up")
"""
# Its main thread is in native code, where Python runs no signal handlers.
_BUSY_STEP = """if True:
    import hashlib
    from components.runtime.termination import ended_by_sigterm
    with ended_by_sigterm(grace_s=0.1):
        print("working", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
"""
# Its cleanup takes too long.
_SLOW_STEP = """if True:
    import time
    from components.runtime.termination import ended_by_sigterm
    with ended_by_sigterm(grace_s=0.1):
        try:
            print("working", flush=True)
            time.sleep(60)
        finally:
            time.sleep(60)
"""


def _terminate(program: str) -> tuple[int, str]:
    with subprocess.Popen([sys.executable, "-c", program], cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "working\n":
            pass
        process.send_signal(signal.SIGTERM)
        try:
            rest, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        return process.returncode, rest


def test_a_step_that_gets_sigterm_cleans_up_says_so_and_ends() -> None:
    returncode, said = _terminate(_STEP)
    assert returncode == 143
    assert said.splitlines() == ["cleaned up", "train | stopped by SIGTERM"]


def test_a_step_also_ends_while_its_main_thread_is_in_native_code() -> None:
    assert _terminate(_BUSY_STEP)[0] == 143


def test_a_step_also_ends_when_cleanup_takes_too_long() -> None:
    assert _terminate(_SLOW_STEP)[0] == 143


def test_another_exit_is_not_taken_for_sigterm_and_the_handler_is_restored() -> None:
    program = """if True:
        import signal, sys
        from components.runtime.progress import step_log
        try:
            with step_log("push"):
                sys.exit(3)
        finally:
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            assert signal.set_wakeup_fd(-1) == -1
    """
    finished = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 3, finished.stderr
    assert "SIGTERM" not in finished.stdout
