import inspect
import re
from typing import Any

import pytest
import yaml

from components import __version__
from pipeline.compiled import PIPELINE_YAML, ROOT, compile_pipeline, load_parameters, load_steps, parse_arguments
from pipeline.pipeline import hpa_pipeline

SPEC, _ = yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8"))


def test_the_committed_pipeline_is_what_the_code_compiles_to() -> None:
    assert compile_pipeline() == PIPELINE_YAML.read_text(encoding="utf-8")


@pytest.mark.parametrize("step", load_steps())
def test_each_step_runs_kfps_executor_on_its_own_file_in_its_own_image(step: str) -> None:
    container = SPEC["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
    assert container["image"] == f"hpa-pipeline/{step}:{__version__}"
    assert container["command"][:4] == ["python3", "-u", "-m", "kfp.dsl.executor_main"]
    path = container["command"][container["command"].index("--component_module_path") + 1]
    assert path == f"components/{step}/step.py"
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("step", load_steps())
def test_a_parameter_has_one_default_in_the_step_and_in_the_pipeline(step: str) -> None:
    definitions = SPEC["components"][f"comp-{step}"]["inputDefinitions"]["parameters"]
    for name, definition in definitions.items():
        in_pipeline = SPEC["root"]["inputDefinitions"]["parameters"][name]
        assert in_pipeline.get("defaultValue") == definition.get("defaultValue"), name
        assert in_pipeline["parameterType"] == definition["parameterType"], name
        assert definition["description"], name
        assert in_pipeline["description"], name


def test_seed_reaches_neither_the_data_nor_the_split() -> None:
    def takes(name: str) -> set[str]:
        inputs = {step: SPEC["components"][f"comp-{step}"].get("inputDefinitions", {}) for step in load_steps()}
        return {step for step, definitions in inputs.items() if name in definitions.get("parameters", {})}

    assert takes("seed") == {"train", "evaluate"}
    assert takes("split_seed") == {"convert"}


def test_arguments_are_parsed_by_the_types_of_the_parameters() -> None:
    words = ["epochs=3", "learning_rate=1e-4", "source=dir:/a=b", 'gpu_node_selector={"pool": "gpu"}']
    expected: dict[str, Any] = {
        "epochs": 3,
        "learning_rate": 1e-4,
        "source": "dir:/a=b",
        "gpu_node_selector": {"pool": "gpu"},
    }
    assert parse_arguments(words, load_parameters()) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epoch=3", "Did you mean epochs?"),
        ("image_size=75", "Did you mean image_size_px?"),
        ("zzz=1", "The parameters are: backbone, batch_size, "),
        ("epochs", "expected NAME=VALUE. Received: epochs"),
        ("synthetic:100", "Received: synthetic:100. Did you mean source=synthetic:100?"),
        ("source=/data/cells", "; for a folder, dir:/data/cells. Received: source=/data/cells"),
        ("source=cells", "; for a folder, dir:cells. Received: source=cells"),
        ("epochs=three", "epochs: expected a whole number. Received: epochs=three"),
        ("epochs=1.5", "epochs: expected a whole number"),
        ("learning_rate=nan", "learning_rate: expected a number"),
        ("gpu_node_selector=t4", "gpu_node_selector: expected a JSON object"),
        ("epochs=-1", "epochs: expected at least 0. Received: epochs=-1"),
        ("image_size_px=74", "image_size_px: expected a number from 75 to 3072"),
        ("split=sorted", "split: expected one of grouped, random"),
        ("source=ftp:x", "source: expected kaggle:"),
        ("source=synthetic:many", "source: expected synthetic:"),
        ("model_name=../x", "model_name: expected letters"),
        ("validation_fraction=0.5 test_fraction=0.5", "expected a sum below 1"),
    ],
)
def test_an_invalid_argument_is_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_arguments(word.split(), load_parameters())


def test_a_parameter_cannot_be_given_twice() -> None:
    with pytest.raises(ValueError, match="epochs is given twice"):
        parse_arguments(["epochs=1", "epochs=2"], load_parameters())


def test_every_parameter_of_the_pipeline_is_read_from_the_yaml() -> None:
    assert set(load_parameters()) == set(inspect.signature(hpa_pipeline.pipeline_func).parameters)
