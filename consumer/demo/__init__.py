"""The demo: the whole product on captured market data, on one machine."""
