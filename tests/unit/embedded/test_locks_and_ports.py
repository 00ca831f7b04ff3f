from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.domain.errors import EmbeddedStackError
from consumer.embedded.locks import FileLock, exclusive, is_locked
from consumer.embedded.plan import Plan, load_or_create
from consumer.embedded.ports import LOOPBACK, free_ports, is_free
from consumer.embedded.process_tree import ProcessIdentity, descendants

HOLD = """
import sys, signal
from pathlib import Path
from consumer.embedded.locks import FileLock
assert FileLock(Path(sys.argv[1])).try_acquire()
print("held", flush=True)
signal.pause()
"""


def test_a_lock_is_free_again_once_its_holder_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(path)
        assert not FileLock(path).try_acquire()
        with pytest.raises(EmbeddedStackError, match="still held"), exclusive(path, deadline_s=0.1, purpose="a test"):
            pass
        holder.send_signal(signal.SIGKILL)
    assert not is_locked(path)


def test_a_file_that_does_not_exist_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "nothing")


def test_chosen_ports_differ_and_can_be_listened_on() -> None:
    ports = free_ports(30)
    assert len(set(ports)) == 30
    assert not set(free_ports(30, avoiding=ports)) & set(ports)
    for port in ports:
        socket.create_server((LOOPBACK, port)).close()


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_plan_is_kept_except_for_ports_that_others_took(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    first = load_or_create(path)
    assert load_or_create(path) == first
    with socket.create_server((LOOPBACK, first.postgres.port)):
        second = load_or_create(path)
    assert second.postgres.port != first.postgres.port
    assert second.postgres.password == first.postgres.password
    assert second.store_ports == first.store_ports


def test_a_broken_plan_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("{")
    with pytest.raises(EmbeddedStackError, match=str(path)):
        load_or_create(path)


def test_two_plans_share_no_secret() -> None:
    one, other = Plan.new(), Plan.new()
    assert one.postgres_password != other.postgres_password
    assert one.secret_key != other.secret_key


def test_a_reused_process_id_is_another_process() -> None:
    here = ProcessIdentity.of(os.getpid())
    assert here is not None
    assert here.is_alive()
    assert not ProcessIdentity(pid=here.pid, started=here.started + 1).is_alive()


def test_a_zombie_is_not_alive_and_grandchildren_are_found() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        family = descendants(os.getpid())
        assert child.pid in {member.pid for member in family}
        assert len(descendants(child.pid)) == 1
        identity = ProcessIdentity.of(child.pid)
        assert identity is not None
        for member in descendants(child.pid):
            member.send(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not identity.is_alive()
