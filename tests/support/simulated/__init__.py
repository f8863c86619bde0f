"""A share, a store, a worker and a sidecar that are simulated, and who watches them."""
