"""Tests of agent.shares, by values."""
