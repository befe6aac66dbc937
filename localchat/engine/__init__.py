"""Generation: the cache of keys and values, sampling, stopping, and the engine that turns messages into text."""
