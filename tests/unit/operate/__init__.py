"""Tests of agent.operate, by values."""
