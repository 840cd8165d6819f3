"""The train step as a KFP component."""

from components.runtime.container import container_component
from components.train.step import train as step

train = container_component(step)
