"""Hugging Face's inference protocol, as ``huggingface_hub.InferenceClient`` speaks it."""
