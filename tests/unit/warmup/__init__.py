"""Tests of agent.warmup, by values."""
