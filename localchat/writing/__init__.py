"""Writing actions: what to ask of a model about a text, piece by piece, and its answers as changes to decide about."""
