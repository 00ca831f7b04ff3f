"""The composition root: the one place where configuration becomes objects."""

from consumer.bootstrap.application import Application

__all__ = ["Application"]
