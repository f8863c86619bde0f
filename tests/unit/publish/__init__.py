"""Tests of agent.publish, by values."""
