"""What things are, and the rules about them. Pure: nothing here reads, writes, waits or logs."""
