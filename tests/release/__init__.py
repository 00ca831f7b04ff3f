"""The wheel, installed into an environment of its own, against real servers."""
