"""A complete worker on `agent.worker`: OpenAI's embeddings API, answered by a model of a store."""
