"""Tests of agent.hub, by values."""
