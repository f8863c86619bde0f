"""Tests of what keeps the docs and the fuzzer right."""
