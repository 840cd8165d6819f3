import yaml

from pipeline.compiled import PIPELINE_YAML, step_tasks
from pipeline.local import without_retries


def test_a_local_run_is_the_committed_file_in_all_but_the_retries() -> None:
    text = PIPELINE_YAML.read_text(encoding="utf-8")
    committed = list(yaml.safe_load_all(text))
    assert all(task.pop("retryPolicy") for task in step_tasks(committed[0]).values())
    assert list(yaml.safe_load_all(without_retries(text))) == committed
