"""Runs models. Only child processes and workers import what is in here: it takes 100 MB and more.

A model of either loader is loaded from its own snapshot in a release, exactly as the loader in the
worker does it, and must run on the device that was asked for.
"""
