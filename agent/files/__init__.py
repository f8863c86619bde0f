"""Files: durable writes, copies, hashes, verification and temporary directories."""
