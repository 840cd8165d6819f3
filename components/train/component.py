"""The train step as a KFP component."""

from components.train.step import train as step
from components.shared.container import container_component

train = container_component(step)
