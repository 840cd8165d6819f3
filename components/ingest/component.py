"""The ingest step as a KFP component."""

from components.ingest.step import ingest as step
from components.runtime.container import container_component

ingest = container_component(step)
