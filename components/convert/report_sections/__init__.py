"""The sections of the data report: one module each."""
