"""Measuring models: perplexity and speed."""
