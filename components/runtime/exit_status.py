"""What a module that is asked something ends with, beside 0: apart from the 1 and 2 of Python's own failures."""

WRONG = 3
"""What was asked about is wrong; standard error says why."""
UNKNOWN = 4
"""It could not be found out; standard error says why."""
