"""Bytes on disks and on their way: durable, copied, hashed, verified."""
