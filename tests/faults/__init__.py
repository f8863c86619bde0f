"""Hot reload under every fault that we know of, against real processes; see `make test-soak`."""
