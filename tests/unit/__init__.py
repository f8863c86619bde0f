"""Tests of single modules, by values."""
