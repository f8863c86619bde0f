"""Static tests of the Kubernetes manifests, as Kustomize renders them."""
