"""Brings releases into a store: the steps that `init` and the sidecar share, and `init` itself."""
