"""Tests of agent.sync, by values."""
