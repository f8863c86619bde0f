"""Tests of agent.doctor, by values."""
