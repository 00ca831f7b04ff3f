"""The container-free stack of real components for the demo and the tests."""
