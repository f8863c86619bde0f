"""The loopback double of Azure Files, held to what the real service said and to the real SDK."""
