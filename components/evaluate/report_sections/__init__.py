"""The sections of the evaluation report: one module each."""
