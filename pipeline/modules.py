"""Runs what steps can do beside the pipeline: in a process of its own, as this one never imports a step's modules."""

import subprocess
import sys

import typer

from pipeline.compiled import ROOT


def run_module(module: str, *arguments: str) -> None:
    """Runs a module with arguments, and ends this command as it ends.

    Raises:
        typer.Exit: Always, with its exit status.
    """
    raise typer.Exit(subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=False).returncode)
