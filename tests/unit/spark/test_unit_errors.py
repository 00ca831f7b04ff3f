"""What a task says of errors that nobody raised on purpose."""

from __future__ import annotations

import pyarrow as pa
import pytest

from consumer.domain.errors import EngineFailedError
from spark import unit_offload
from spark.unit_offload import offload_unit
from spark.unit_task import FileLayout, JobContext, SourceAccess, StoreAccess, UnitTask

CONTEXT = JobContext(
    source=SourceAccess(
        host="h",
        port=1,
        user="u",
        password="p",
        secure=False,
        verify=True,
        ca_file=None,
        connect_timeout_s=1,
        query_timeout_s=1,
        settings=(),
        block_rows=1,
    ),
    store=StoreAccess(endpoint=None, region="r", access_key=None, secret_key=None, path_style=True),
    layout=FileLayout(schema_json='{"type": "struct", "fields": []}', row_group_rows=1, row_group_bytes=1),
)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (pa.ArrowMemoryError("malloc of size 1024 failed"), "lower spark.row_group_rows"),
        (MemoryError(), "lower spark.row_group_rows"),
        (OSError(28, "No space left on device"), "free space in Spark's local directories"),
        (ValueError("?"), "report this as a defect"),
    ],
)
def test_an_error_that_nobody_raised_on_purpose_names_itself_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(unit_offload, "connect", fail)

    outcome = offload_unit(CONTEXT, UnitTask(index=3, batch_id="b", query="SELECT 1", prefix="s3://bucket"))

    assert isinstance(outcome.error, EngineFailedError)
    assert f"unit 3 of batch b failed with {type(error).__name__}" in outcome.error.message
    assert remedy in outcome.error.remedy
