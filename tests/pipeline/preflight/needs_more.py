"""A module of a step whose packages are not installed."""

import none_of_this_name  # noqa: F401
