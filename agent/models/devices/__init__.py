"""Which device a model runs on, and what keeps it from a GPU."""
