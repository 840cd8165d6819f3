"""The push step as a KFP component."""

from components.push.step import push as step
from components.runtime.container import container_component

push = container_component(step)
