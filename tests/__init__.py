"""The tests, what supports them, the demo and the benchmarks."""
