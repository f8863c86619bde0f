"""Checks of manifests: each gives the faults that it finds, as sentences."""
