"""Signatures over releases: keys, policy, and what is stored beside a manifest."""
