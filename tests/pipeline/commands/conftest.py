"""Runs commands in this process."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.__main__ import app
from tests.pipeline.kfp_server import KfpServer

PLACES = ("source=synthetic:450", "data_root=gs://bucket/hpa", "serving_root=gs://bucket/models")
VALUES = dict(argument.split("=") for argument in PLACES)

Ask = Callable[..., Result]


def invoke(*words: object, **environment: str) -> Result:
    """Runs a command in this process, on a wide terminal."""
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "1000"} | environment)


@pytest.fixture
def ask(server: KfpServer) -> Ask:
    """Runs a command with a Kubeflow Pipelines server."""
    return invoke


def only(items: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The only one of a server's items."""
    (item,) = items.values()
    return item
