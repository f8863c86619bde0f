"""Runs models. Only child processes and workers import what is in here: it takes 100 MB and more.

A model of either loader is loaded from its own snapshot in a release, exactly as the loader in the
worker would, and must run where it was told to, or it is no model.
"""
