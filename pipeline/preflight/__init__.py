"""Checks, before a run is submitted, for problems that would otherwise appear on the cluster an hour later."""
