"""Text and tokens: tokenizers, the stream decoder, chat templates, and prompts made of them."""
