"""TLS over memory: the only package, besides the drivers, that knows `ssl`."""
