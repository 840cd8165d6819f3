"""The conclude task as a KFP component."""

from components.conclude.step import conclude as step
from components.runtime.container import container_component

# In push's image: it has what reaches the object store, and little else.
conclude = container_component(step, image_of="push")
