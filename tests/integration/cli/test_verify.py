"""`icehaul verify` on real servers: the page about it, ranges, the rows that differ, the statement, and Ctrl-C."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow import BufferOutputStream, BufferReader

from consumer.domain.window import Window
from consumer.embedded.stack import EmbeddedStack
from consumer.entrypoints.cli import verify
from consumer.entrypoints.cli.verify_progress import line, shown
from consumer.service.verifying.parallel import Progress
from tests.integration.cli.conftest import Run
from tests.support.local_platform import LocalPlatform, ledger_database, local_platform, offload
from tests.support.platform import day

ROWS = 200
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "verify.md").read_text("utf-8")
SECOND = ("--from", "2024-01-02", "--to", "2024-01-03")
HALF_WAY = Progress(
    queries=40,
    queries_done=14,
    rows=180_000_000,
    rows_done=61_000_000,
    bytes=int(3.2 * 2**30),
    bytes_done=int(1.1 * 2**30),
    elapsed=timedelta(seconds=51.4),
)


@pytest.fixture(scope="module")
def offloaded(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """One stream whose rows of three days are offloaded, each day by a batch of its own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with (
        pytest.MonkeyPatch.context() as patch,
        ledger_database(stack.endpoints, name) as dsn,
        local_platform(stack.endpoints, name, dsn, tmp_path_factory.mktemp("verify"), patch) as made,
    ):
        stream = made.add_stream()
        with made.consumer() as application:
            for number in range(1, 4):
                made.insert(ROWS, first=number * ROWS, day=f"2024-01-0{number}")
                offload(application, stream, day(f"2024-01-0{number + 1}"))
        yield made


@pytest.fixture
def stream(offloaded: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in offloaded.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ICEHAUL_CONFIG", str(offloaded.write()))
    return str(offloaded.streams[0]["name"])


@pytest.fixture
def without_a_row(offloaded: LocalPlatform, stream: str) -> Iterator[None]:
    """The first row of the second day is not in its file."""
    with closing(offloaded.cold_tier(stream)) as tier:
        window = Window(lower=day("2024-01-02"), upper=day("2024-01-03"))
        (path,) = tier.catalog.data_files(tier.stream.target, tier.stream.partition_by, window)
        with tier.io.new_input(path).open() as stored:
            whole = stored.read()
        sink = BufferOutputStream()
        pq.write_table(pq.read_table(BufferReader(whole)).slice(1), sink, store_schema=False)
        tier.put(path, sink.getvalue().to_pybytes())
        yield
        tier.put(path, whole)


def test_the_page_works_as_written(icehaul: Run, stream: str) -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for command in block.replace("quickstart_trades", stream).splitlines():
        words = takewhile(lambda word: word != ">", shlex.split(command, comments=True)[1:])
        ended = icehaul(*words)
        assert (ended.code, ended.err) == (0, ""), ended.err
    assert line("quickstart_trades", HALF_WAY) in PAGE


def test_a_range_is_compared_by_itself(icehaul: Run, stream: str) -> None:
    (found,) = icehaul("verify", stream, *SECOND, "-o", "json").data["streams"]
    assert (found["hot_rows"], found["cold_rows"], found["equal"]) == (ROWS, ROWS, True)
    assert (found["from"], found["to"]) == ("2024-01-02T00:00:00+00:00", "2024-01-03T00:00:00+00:00")
    whole = icehaul("verify", stream, "-o", "json").data["streams"][0]
    assert (whole["cold_rows"], whole["from"], whole["to"]) == (3 * ROWS, None, None)


@pytest.mark.usefixtures("without_a_row")
def test_rows_that_differ_are_listed_as_text_and_as_data(icehaul: Run, stream: str) -> None:
    ended = icehaul("verify", stream, "--rows", "5", "-o", "json")
    (found,) = ended.data["streams"]
    assert (ended.code, found["equal"], found["missing"], found["surplus"]) == (1, False, 1, 0)
    (difference,) = found["differences"]
    assert (difference["hot_rows"], difference["cold_rows"]) == (ROWS, ROWS - 1)
    (row,) = found["rows"]
    assert (row["time"], row["hot"], row["cold"]) == ("2024-01-02T00:00:00+00:00", 1, 0)
    assert (row["values"]["seq"], row["values"]["note"]) == (str(2 * ROWS), None)
    text = icehaul("verify", stream, "--rows", "5").out
    assert "where they differ" in text
    assert f"seq={2 * ROWS}, symbol=BTC" in text
    assert "note=NULL" in text
    assert icehaul("verify", stream, "--from", "2024-01-03").code == 0
    assert icehaul("verify", stream, *SECOND).code == 1


def test_the_statement_is_printed_as_it_stands_and_holds_no_secret(
    icehaul: Run, stream: str, offloaded: LocalPlatform
) -> None:
    printed = icehaul("verify", stream, "--sql")
    assert (printed.code, printed.err) == (0, "")
    assert offloaded.endpoints.store.secret_key not in printed.out
    keys = {"store_key": offloaded.endpoints.store.access_key, "store_secret": offloaded.endpoints.store.secret_key}
    row = dict(next(iter(offloaded.client.query(printed.out, parameters=keys).named_results())))
    assert (row["hot_rows"], row["cold_rows"], row["verdict"]) == (3 * ROWS, 3 * ROWS, "equal")
    assert icehaul("verify", stream, "--sql", "-o", "json").data["sql"] + "\n" == printed.out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--from", "soon"), "--from"),
        (("--from", "2024-01-03", "--to", "2024-01-02"), "--to"),
        (("--to", "now"), "--to"),
        (("--from", "2030-01-01"), "was offloaded yet"),
        (("--all", "--rows", "3"), "--rows"),
        (("--all", "--from", "2024-01-02"), "--from"),
        (("--sql", "--rows", "3"), "--rows"),
    ],
)
def test_options_that_make_no_sense_are_explained(
    icehaul: Run, stream: str, options: tuple[str, ...], named: str
) -> None:
    ended = icehaul("verify", stream, *options)
    assert ended.code == 2
    ended.explained(named)


def test_ctrl_c_ends_it_without_a_traceback(icehaul: Run, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def pressed(_stream: str) -> Iterator[Callable[[Progress], None]]:
        def tell(_progress: Progress) -> None:
            raise KeyboardInterrupt

        yield tell

    monkeypatch.setattr(verify, "shown", pressed)
    ended = icehaul("verify", stream)
    assert ended.code == 130
    assert "Traceback" not in ended.out + ended.err


def test_without_a_terminal_a_line_is_told_now_and_then(capfd: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 4.0, 11.0, 11.0, 15.0])
    with shown("trades", clock=lambda: next(now)) as tell:
        for _ in range(3):
            tell(HALF_WAY)
    assert capfd.readouterr().err == f"{line('trades', HALF_WAY)}\n"
