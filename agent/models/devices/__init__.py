"""The device that a model runs on, and the causes that keep it from a GPU."""
