"""Looks, before a run is submitted, for what would otherwise fail on the cluster an hour later."""
