"""Runs the convert step with shards of ten samples: a program for tests, see `tests.components.run_step`."""

from components.convert.shards import resplit, tasks
from tests.components import run_step

if __name__ == "__main__":
    resplit.MAX_SHARD_SAMPLES = tasks.MAX_SHARD_SAMPLES = 10
    run_step.main()
