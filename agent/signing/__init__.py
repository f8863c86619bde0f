"""Signatures over releases: keys, the rule that releases are held to, and stored signatures."""
