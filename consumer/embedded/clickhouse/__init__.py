"""A ClickHouse server of one process: the real engine (chdb) behind ClickHouse's HTTP interface.

Start it with ``python -m consumer.embedded.clickhouse``; talk to it with any ClickHouse HTTP client.
"""
