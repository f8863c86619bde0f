"""Tests of agent.models, by values."""
