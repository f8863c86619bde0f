"""The promises of `agent.shares.base.Share`, which every kind of share keeps.

To add a kind, teach `places.py` to make an empty share of it. Promises of one kind alone have their
tests elsewhere.
"""
