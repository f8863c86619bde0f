"""Tests of agent.sidecar, by values."""
