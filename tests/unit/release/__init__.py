"""Tests of agent.release, by values."""
