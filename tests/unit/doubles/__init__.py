"""Tests of the doubles, against the clients of the real services."""
