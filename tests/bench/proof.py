"""What the proof costs: batches whose files are read back, and batches whose files are not (``make bench-proof``).

Two consumers run on the same servers and take turns; each pair of batches is of the same rows. CPU seconds of all
processes say more than the clock where others use the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from consumer.domain.stream import DigestPolicy
from consumer.domain.writer import Writer
from consumer.embedded.stack import EmbeddedStack
from tests.bench.icehaul_path import Icehaul, running_icehaul
from tests.bench.measure import Measurement
from tests.bench.turns import contending_bench, take_turns
from tests.support.machine import describe_machine

_WITH, _WITHOUT = DigestPolicy.ALWAYS.value, DigestPolicy.ON_DEMAND.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the proof adds to a batch without it, in the middle of the pairs: of the clock's time, and of CPU time."""

    seconds: float
    cpu: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.proof", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, help="trades of one batch")
    parser.add_argument("--rounds", type=int, default=5, help="measured pairs of batches, after one to warm up")
    parser.add_argument("--writer", choices=[one.value for one in Writer], default=Writer.STREAM.value)
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="where the report and logs go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=160)
    console.print(f"$ python -m tests.bench.proof {' '.join(sys.argv[1:] if arguments is None else arguments)}")
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="icehaul-bench-") as scratch, ExitStack() as resources:
        rounds = take_turns(_consumers(resources, Path(scratch), options), options.rows, options.rounds)
    share = share_of(rounds)
    for name, measured in rounds.items():
        cpu = {group: statistics.median(one.cpu[group] for one in measured) for group in measured[0].cpu}
        console.print(
            f"{name}: {statistics.median(one.seconds for one in measured):.2f} s, {sum(cpu.values()):.2f} CPU s in the"
            f" middle of {len(measured)}: {', '.join(f'{group} {seconds:.2f}' for group, seconds in cpu.items())}"
        )
    console.print(f"the proof adds {share.seconds:.1%} of the time and {share.cpu:.1%} of the CPU time")
    report = {
        "machine": describe_machine(),
        "rounds": {name: [asdict(one) for one in measured] for name, measured in rounds.items()},
        "share": asdict(share),
    }
    (options.out / f"proof-{options.writer}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def share_of(rounds: Mapping[str, Sequence[Measurement]]) -> Share:
    """Return what the proof adds, pair by pair, in the middle of the pairs."""
    pairs = list(zip(rounds[_WITH], rounds[_WITHOUT], strict=True))
    return Share(
        seconds=statistics.median(one.seconds / other.seconds for one, other in pairs) - 1,
        cpu=statistics.median(one.cpu_seconds / other.cpu_seconds for one, other in pairs) - 1,
    )


def _consumers(resources: ExitStack, scratch: Path, options: argparse.Namespace) -> Mapping[str, Icehaul]:
    stack = resources.enter_context(EmbeddedStack.start(scratch / "stack"))
    consumers: dict[str, Icehaul] = {}
    for policy in (_WITH, _WITHOUT):
        bench = contending_bench(stack, policy, scratch, options.rows)
        consumers[policy] = resources.enter_context(
            running_icehaul(
                bench,
                options.rounds,
                options.out / f"proof-{policy}.log",
                f"{policy}_",
                Writer(options.writer),
                digest=policy,
            )
        )
    return consumers


if __name__ == "__main__":
    sys.exit(main())
