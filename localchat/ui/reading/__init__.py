"""Replies as lines of a terminal: Markdown read in pieces, and laid out without a widget for every paragraph."""
