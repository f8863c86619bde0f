"""Tests of agent.store, by values."""
