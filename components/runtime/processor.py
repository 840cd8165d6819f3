"""The capabilities of this machine's processor."""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Flags of bfloat16 units.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def multiplies_bfloat16() -> bool:
    """Whether the processor has units for bfloat16. Without them, float32 is faster."""
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.is_file() else []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    return bool(flags & _BFLOAT16_FLAGS)
