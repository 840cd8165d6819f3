"""Turns a step function into a KFP container component, which runs in its image or, locally, as a process."""

import inspect
from collections.abc import Callable
from typing import Any

from kfp import dsl

from components import __version__

# Images are <REGISTRY>/<step>:<TAG>. The registry is a plain name, so that images built locally are found.
REGISTRY = "hpa-pipeline"
TAG = __version__


def image(step: str) -> str:
    """The image that a step runs in."""
    return f"{REGISTRY}/{step}:{TAG}"


def container_component(step: Callable[..., None]) -> Any:
    """Makes a container component with the interface and documentation of a step function.

    The command is KFP's own executor on `components/<step>/step.py`: it reads the artifacts, calls the function, and writes its
    outputs. The path is relative to the working directory: WORKDIR in the images, the project's root in a local run.

    Args:
        step: The function, named like its step. Its parameters are plain values, `Input[...]` and `Output[...]`.
    """
    name = step.__name__

    def container(*_args: object, **_kwargs: object) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(
            image=image(name),
            command=[
                "python3",
                "-u",
                "-m",
                "kfp.dsl.executor_main",
                "--component_module_path",
                f"components/{name}/step.py",
                "--function_to_execute",
                name,
                "--executor_input",
                dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
            ],
        )

    container.__name__ = name
    container.__doc__ = step.__doc__
    container.__signature__ = inspect.signature(step).replace(return_annotation=dsl.ContainerSpec)  # type: ignore[attr-defined]
    return dsl.container_component(container)
