"""Reports releases to Kubernetes: Events about the pod, and an annotation on it.

This is on only with `--kubernetes-events`. It is made from the events of a sync, in its own thread:
an API server that is away, slow or refuses requests neither delays the agent nor makes it fail.
"""
