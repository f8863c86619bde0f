"""Verifies, stages, warms and hot-reloads embedding models in Kubernetes pods."""

__version__ = "0.1.0"
GENERATOR = f"model-agent {__version__}"
