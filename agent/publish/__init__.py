"""Makes releases, and brings them to a share."""
