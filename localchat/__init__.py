"""localchat: chat with a language model in the terminal; the model runs on this machine."""

__version__ = "0.1.0"
