"""Tests of agent.signing, by values."""
