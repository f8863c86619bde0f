"""What users do, from end to end, in real processes."""
