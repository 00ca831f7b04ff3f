"""Metadata files: the next one of a table, and those that a table no longer keeps."""

from __future__ import annotations

from pyiceberg.io import FileIO
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import TableProperties
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.utils.properties import property_as_bool, property_as_int

from consumer.adapters.iceberg.target import Base
from consumer.domain.recovery import version_of
from consumer.domain.stream import TableName
from consumer.settings.connections import StoreSettings


def home(store: StoreSettings, table: TableName) -> str:
    """Return where a new table of this name is made; one that was renamed lies where it was made."""
    return f"{store.warehouse}/{table.database}/{table.table}"


def write_next(base: Base, metadata: TableMetadata, io: FileIO) -> Base:
    """Write the metadata file that follows a base's, and return the table as it describes it."""
    location = load_location_provider(metadata.location, metadata.properties).new_table_metadata_file_location(
        (version_of(base.location) or 0) + 1
    )
    # The name is new for certain, so there is no need to ask the store whether it exists.
    ToOutputFile.table_metadata(metadata, io.new_output(location), overwrite=True)
    return Base(name=base.name, location=location, metadata=metadata)


def retired(base: TableMetadata, new: TableMetadata) -> set[str]:
    """Return the metadata files that the new metadata no longer keeps in its log."""
    if not property_as_bool(
        new.properties,
        TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED,
        TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED_DEFAULT,
    ):
        return set()
    kept = {entry.metadata_file for entry in new.metadata_log}
    return {entry.metadata_file for entry in base.metadata_log} - kept


def kept_versions(metadata: TableMetadata) -> int:
    """Return for how many further commits a metadata file of the table stays on the store."""
    kept = property_as_int(
        metadata.properties,
        TableProperties.METADATA_PREVIOUS_VERSIONS_MAX,
        TableProperties.METADATA_PREVIOUS_VERSIONS_MAX_DEFAULT,
    )
    return max(1, kept or 1)
