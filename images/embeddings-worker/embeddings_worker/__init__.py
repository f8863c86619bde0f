"""A complete worker on `agent.worker`: OpenAI's embeddings API for a model in a store."""
