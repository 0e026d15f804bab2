"""The NLA gateway."""
