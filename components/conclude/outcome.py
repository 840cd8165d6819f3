"""How a run ended, and where that is written."""

import datetime
import json
from dataclasses import asdict, dataclass

from components import __version__, storage

# What Kubeflow Pipelines calls steps that have all ended well: its database, its metadata store, and its local runner differ.
_SUCCEEDED = ("SUCCEEDED", "COMPLETE", "CACHED")


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `state` is Kubeflow Pipelines' word for it; `run_name` is that of the cluster's workflow."""

    run_id: str
    run_name: str
    succeeded: bool
    state: str
    message: str
    ended: str
    code_version: str = __version__

    @classmethod
    def of(cls, state: str, message: str | None, run_name: str, run_id: str) -> "Outcome":
        """Reads what Kubeflow Pipelines says of the steps.

        A step whose pod is gone may have had no time to say that it failed: what did not succeed has failed.
        """
        succeeded = state in _SUCCEEDED
        if not succeeded:
            message = message or f"the steps ended in the state {state}; the run's page shows which one, and its log"
        ended = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        return cls(run_id, run_name, succeeded, state, message or "", ended)


def record(outcome: Outcome, data_root: str) -> str:
    """Writes an outcome to `<data_root>/runs/`, under a name that says it all in a listing.

    Returns:
        Where it is.
    """
    word = "succeeded" if outcome.succeeded else "failed"
    uri = storage.join(data_root, "runs", f"{outcome.ended}-{word}-{outcome.run_id}.json")
    storage.write_bytes(uri, json.dumps(asdict(outcome)).encode() + b"\n")
    return uri
