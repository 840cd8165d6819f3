"""The MLflow run that a task logs to.

Kubeflow Pipelines 2.17 gives each task its own MLflow run if an administrator has enabled the MLflow integration. It sets
MLFLOW_TRACKING_URI and MLFLOW_RUN_ID, and logs parameters and scalar metrics; curves and reports are up to the task.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_log = logging.getLogger(__name__)

# An unresponsive tracking server delays a step by at most a minute. By default MLflow would wait for a quarter of an hour.
_DEFAULTS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_DISABLE_TELEMETRY": "true"}
# MLflow refuses other characters in the name of a metric.
_FORBIDDEN = re.compile(r"[^\w\-. /]")
# An address may contain a password.
_CREDENTIALS = re.compile(r"//[^/@\s]+@")


class MlflowRun:
    """The run named by MLFLOW_RUN_ID. Without that variable, nothing is logged and MLflow is not imported.

    A step never fails because of MLflow: after the first error, it logs a warning and stops using MLflow.
    """

    def __init__(self) -> None:
        self._run_id = os.environ.get("MLFLOW_RUN_ID", "")
        self._num_logged = 0
        self._client: Any = None

    @property
    def is_named(self) -> bool:
        """Whether there is a run to log to."""
        return bool(self._run_id)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs figures by name."""
        self._log_batch([(name, value, 0) for name, value in metrics.items()])

    def log_curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Logs the epochs that this object has not logged yet, as `training/<name>`; a resumed run logs all of them."""
        first, self._num_logged = self._num_logged, max(map(len, curves.values()), default=0)
        epochs = range(first, self._num_logged)
        self._log_batch([(f"training/{name}", values[epoch], epoch + 1) for name, values in curves.items() for epoch in epochs])

    def log_text(self, text: str, name: str) -> None:
        """Logs text as a file of this name."""
        self._ask(lambda client: client.log_text(self._run_id, text, name))

    def _log_batch(self, figures: Sequence[tuple[str, float, int]]) -> None:
        def log(client: Any) -> None:
            from mlflow.entities import Metric  # noqa: PLC0415

            now_ms = int(time.time() * 1000)
            metrics = [Metric(_FORBIDDEN.sub("_", name), value, now_ms, step) for name, value, step in figures]
            for start in range(0, len(metrics), 1000):  # the limit of a request
                client.log_batch(self._run_id, metrics[start : start + 1000])

        self._ask(log)

    def _ask(self, request: Callable[[Any], None]) -> None:
        if not self.is_named:
            return
        try:
            if not self._client:
                for name, value in _DEFAULTS.items():
                    os.environ.setdefault(name, value)
                from mlflow import MlflowClient  # noqa: PLC0415

                self._client = MlflowClient()
            request(self._client)
        except Exception as error:
            self._run_id = ""
            reason = _CREDENTIALS.sub("//", " ".join(str(error).split()))
            _log.warning("nothing more is logged to MLflow: %s", reason[:300])
