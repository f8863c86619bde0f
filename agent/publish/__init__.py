"""How releases are made, and brought to a share."""
