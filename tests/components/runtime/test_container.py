from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from components import __version__
from components.runtime.container import container_component, image


def refine(crude: Input[Dataset], refined: Output[Dataset], grade: int = 3, note: str = "") -> None:
    """Refines what is crude.

    Args:
        crude: What comes in.
        refined: What goes out.
        grade: How fine.
        note: Anything.
    """


def test_a_component_has_the_interface_of_its_function() -> None:
    spec = container_component(refine).component_spec
    assert spec.name == "refine"
    assert spec.description == "Refines what is crude."
    assert {name: (given.type, given.optional, given.default) for name, given in spec.inputs.items()} == {
        "crude": ("system.Dataset@0.0.1", False, None),
        "grade": ("Integer", True, 3),
        "note": ("String", True, ""),
    }
    assert list(spec.outputs) == ["refined"]


def test_a_component_runs_its_function_with_kfps_executor_in_its_own_image() -> None:
    container = container_component(refine).component_spec.implementation.container
    assert container.image == image("refine") == f"hpa-pipeline/refine:{__version__}"
    command = container.command
    assert command[:4] == ["python3", "-u", "-m", "kfp.dsl.executor_main"]
    assert command[command.index("--component_module_path") + 1] == "components/refine/step.py"
    assert command[command.index("--function_to_execute") + 1] == "refine"
    assert command[command.index("--executor_input") + 1] == str(dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER)
