"""Tests of agent.machine, by values."""
