"""Tests of the history: what is kept, found again, and survives crashes and company."""
