"""The local store: what it holds, what is active, and how that changes."""
