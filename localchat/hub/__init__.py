"""Where models come from, and which are here: the catalogue, downloads, installed models."""
