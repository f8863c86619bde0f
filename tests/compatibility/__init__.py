"""What 0.1.0 made, read by today's agent; and what today's agent makes, read by 0.1.0."""
