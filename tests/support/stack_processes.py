"""Which processes a stack has left on this machine."""

from __future__ import annotations

from pathlib import Path

from consumer.embedded.process_tree import ProcessIdentity, command_line


def processes_of(directory: Path) -> dict[int, str]:
    """Living processes that work in ``directory`` or name it on their command line, with those command lines."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        pid = int(entry.name)
        command = " ".join(command_line(pid))
        if (_works_in(entry, directory) or str(directory) in command) and ProcessIdentity.of(pid) is not None:
            found[pid] = command
    return found


def listening_addresses(pids: set[int]) -> set[str]:
    """The addresses (hexadecimal, as in /proc/net/tcp and tcp6) that any of these processes listens on."""
    sockets = {socket for pid in pids for socket in _sockets(pid)}
    addresses: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / table).read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == "0A" and inode in sockets:
                addresses.add(local.partition(":")[0])
    return addresses


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets; none of one that has just ended."""
    found: set[str] = set()
    try:
        for descriptor in (Path("/proc") / str(pid) / "fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found.add(target.removeprefix("socket:[").removesuffix("]"))
    except OSError:
        return found
    return found


def _works_in(entry: Path, directory: Path) -> bool:
    try:
        return (entry / "cwd").readlink().is_relative_to(directory)
    except OSError:  # it has just ended
        return False
