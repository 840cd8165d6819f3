"""Modules that run in a process of their own."""

from pathlib import Path

import pytest
import typer

from pipeline import modules

_NOISE = """
import sys
print("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR", file=sys.stderr)
print("I0000 00:00:1795709367.880272    5052 cudart_stub.cc:31] Could not find cuda drivers", file=sys.stderr)
print("E0000 00:00:1795709378.693227    5052 cuda_platform.cc:52] failed call to cuInit", file=sys.stderr)
print("F0000 00:00:1795709378.693227    5052 cpu_feature_guard.cc:16] needs AVX", file=sys.stderr)
print("line without an end", file=sys.stderr, end="")
print(*sys.argv[1:])
sys.exit(3)
"""


def test_what_a_module_says_is_shown_without_the_greeting_of_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noisy.py").write_text(_NOISE)
    monkeypatch.setattr(modules, "ROOT", tmp_path)
    with pytest.raises(typer.Exit) as ended:
        modules.run_module("noisy", "one", "two words")
    assert ended.value.exit_code == 3
    out, err = capfd.readouterr()
    assert out == "one two words\n"
    assert err == "F0000 00:00:1795709378.693227    5052 cpu_feature_guard.cc:16] needs AVX\nline without an end"
