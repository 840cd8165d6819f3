"""Runs the pipeline for benchmarks that need what it makes."""

import subprocess
import sys
from pathlib import Path

from pipeline.compiled import ROOT
from pipeline.local_run import LocalRun


def run_pipeline(folder: Path, *arguments: str) -> LocalRun:
    """Runs the pipeline below a folder, with its lines on standard error, as figures go to standard output."""
    command = [sys.executable, "-m", "pipeline", "run", "--pipeline-root", str(folder), *arguments]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    return LocalRun(max((folder / "runs").iterdir()))
