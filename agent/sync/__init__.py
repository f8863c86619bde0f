"""How a release gets into a store: what `init` and the sidecar share, and `init` itself."""
