"""What tests and the demo build on; not shipped in the package."""
