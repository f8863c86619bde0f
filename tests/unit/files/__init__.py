"""Tests of agent.files, by values."""
