"""What this process stands on: threads, child processes, memory, the machine itself."""
