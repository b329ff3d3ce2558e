"""What is kept of requests: conversations, runs with their steps, and API keys, in one database."""
