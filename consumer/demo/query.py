"""`python -m consumer.demo.query NAMESPACE.TABLE`: print an Iceberg table of the demo by PyIceberg alone."""

from __future__ import annotations

import sys

from pyiceberg.catalog.sql import SqlCatalog

from consumer.settings.load import load


def main() -> None:
    """Read the table as any PyIceberg program would, and print its first rows."""
    configuration = load()
    store = configuration.store
    catalog = SqlCatalog(
        configuration.catalog.name,
        uri=configuration.postgres.dsn.get_secret_value().replace("postgresql://", "postgresql+psycopg://"),
        warehouse=store.warehouse,
        init_catalog_tables="false",
        **{
            "s3.endpoint": store.endpoint or "",
            "s3.region": store.region,
            "s3.access-key-id": store.access_key or "",
            "s3.secret-access-key": store.secret_key.get_secret_value() if store.secret_key else "",
        },
    )
    table = catalog.load_table(sys.argv[1])
    sys.stdout.write(f"{table.scan(limit=10).to_arrow().to_pandas().to_string()}\n")


if __name__ == "__main__":
    main()
