"""The nouns of the agent, and the rules about them. Pure: nothing here does any I/O."""
