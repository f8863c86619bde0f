"""The process' environment: threads, child processes, memory, the clock, the machine."""
