"""The loopback double of the Hugging Face Hub, through the real client."""
