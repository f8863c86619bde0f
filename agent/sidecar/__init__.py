"""The loop that keeps a worker on the release that the marker names."""
