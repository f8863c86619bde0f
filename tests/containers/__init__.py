"""Tests of the images, as they run on an engine; see `make test-containers`."""
