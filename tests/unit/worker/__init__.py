"""Tests of agent.worker, by values."""
