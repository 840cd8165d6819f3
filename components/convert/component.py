"""The convert step as a KFP component."""

from components.convert.step import convert as step
from components.runtime.container import container_component

convert = container_component(step)
