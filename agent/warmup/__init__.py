"""Loads the models of a release in a child process and compares them with their canaries."""
