"""Servers that answer as real services do, with faults on request, for tests and demonstrations.

Each has a folder under images/ too, with its Dockerfile and the `server.py` that starts it.
"""
