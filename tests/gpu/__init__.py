"""Tests of what a GPU, or its absence, does; see `make test-gpu`."""
