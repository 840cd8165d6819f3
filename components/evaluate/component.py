"""The evaluate step as a KFP component."""

from components.evaluate.step import evaluate as step
from components.runtime.container import container_component

evaluate = container_component(step)
