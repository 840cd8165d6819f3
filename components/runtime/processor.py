"""What the processor of this machine can do."""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Flags of units that multiply in bfloat16.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def multiplies_bfloat16() -> bool:
    """Whether it has units for bfloat16: without them, float32 is faster."""
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.is_file() else []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    return bool(flags & _BFLOAT16_FLAGS)
