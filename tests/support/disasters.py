"""What befalls servers: a database that is lost, a folder of the store that is put back to an earlier day."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from pyarrow.fs import FileSelector, FileType

from consumer.adapters.iceberg.store import StoreFileIO
from consumer.embedded.endpoints import Endpoints
from consumer.settings.connections import StoreSettings


def lose_database(endpoints: Endpoints, dsn: str) -> None:
    """Drop a database under whoever is connected, and make an empty one of the same name."""
    name = sql.Identifier(urlsplit(dsn).path.removeprefix("/"))
    with psycopg.connect(endpoints.postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


class StoreFolder:
    """A warehouse on the object store, which can be copied and put back."""

    def __init__(self, store: StoreSettings) -> None:
        self._io = StoreFileIO(store)
        self._files = self._io.fs_by_scheme("s3", store.bucket)
        self._root = f"{store.bucket}/{store.prefix}"

    def copy(self) -> Mapping[str, bytes]:
        """Return every file by its path."""
        return {path: self.read(path) for path in self.paths()}

    def paths(self, part: str = "") -> list[str]:
        """Return the paths that contain a text, ascending."""
        found = self._files.get_file_info(FileSelector(self._root, recursive=True, allow_not_found=True))
        return sorted(one.path for one in found if one.type is FileType.File and part in one.path)

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        with self._files.open_input_stream(path) as stream:
            return bytes(stream.read())

    def write(self, path: str, content: bytes) -> None:
        """Put a file there."""
        with self._files.open_output_stream(path) as stream:
            stream.write(content)

    def remove(self, path: str) -> None:
        """Delete a file."""
        self._files.delete_file(path)

    def put_back(self, copy: Mapping[str, bytes]) -> None:
        """Make the folder what it was, as a restore of the store does: what came later is gone."""
        for path in self.paths():
            if path not in copy:
                self.remove(path)
        for path, content in copy.items():
            self.write(path, content)
