from pathlib import Path

import pytest

from components.runtime import processor
from components.runtime.processor import multiplies_bfloat16


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx2 amx_bf16", True), ("avx512_bf16", True), ("avx2 avx512f bf16", False), ("", False)]
)
def test_bfloat16_is_in_the_cpu_flags(flags: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: X\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    monkeypatch.setattr(processor, "_CPUINFO", cpuinfo)
    assert multiplies_bfloat16() == expected


def test_without_cpuinfo_no_bfloat16_is_assumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    assert not multiplies_bfloat16()
