"""The conclude task: at the end of each run, however it ended, says in one place how."""

from kfp.dsl import PipelineTaskFinalStatus


def conclude(status: PipelineTaskFinalStatus, run_id: str, data_root: str) -> None:
    """Writes <data_root>/runs/<time>-<succeeded or failed>-<run id>.json, and an error to the log if the run failed.

    Args:
        status: How the steps ended.
        run_id: The run, by its number in Kubeflow Pipelines.
        data_root: Where bulk data lives: a folder, or gs://<bucket>/<prefix>.
    """
    import logging

    from components.conclude.outcome import Outcome, record
    from components.runtime.progress import step_log

    log = logging.getLogger("components.conclude")
    with step_log("conclude"):
        outcome = Outcome.of(status.state, status.error_message, status.pipeline_job_resource_name, run_id)
        uri = record(outcome, data_root)
        if outcome.succeeded:
            log.info("all steps succeeded: %s", uri)
        else:
            log.error("THE RUN FAILED: %s (%s): %s", run_id, outcome.message, uri)
