"""Tells Kubernetes what becomes of releases: Events about the pod, and an annotation on it.

Only with `--kubernetes-events`. All of it is made of the log's own lines, in a thread of its own:
an API server that is away, slow or refuses neither delays nor fails the agent.
"""
