"""Bugs by which a process is ended, kept or changed at the wrong moment, or an operator's action leaves no trace."""

from __future__ import annotations

from tests.mutants.bug import Bug, Edit

_RELOAD = ("tests/unit/entrypoints/test_reload.py",)
_MANAGER = ("tests/unit/entrypoints/test_service_manager.py",)
_ACTIONS = ("tests/unit/service/test_actions.py",)

BUGS = (
    Bug(
        name="a_refused_configuration_ends_the_work",
        breaks="A configuration that can't be used takes down a consumer that works, and it does not come back.",
        edits=(
            Edit(
                file="consumer/entrypoints/reload.py",
                before="            return False\n        self._accepted = True\n",
                after="        self._accepted = True\n",
            ),
        ),
        tests=_RELOAD,
    ),
    Bug(
        name="a_reload_does_not_wait_for_running_work",
        breaks="Every reload throws away the batches that are under way, however short the rest of them is.",
        edits=(
            Edit(
                file="consumer/entrypoints/worker.py",
                before="self._reload.wanted():\n                    self._loop.stop()\n",
                after="self._reload.wanted():\n                    self._ended.set()\n",
            ),
        ),
        tests=_RELOAD,
    ),
    Bug(
        name="a_process_that_was_to_end_begins_anew",
        breaks="A consumer that is told to end during a reload comes back, and is killed once patience with it ends.",
        edits=(
            Edit(
                file="consumer/entrypoints/worker.py",
                before="            self._reload.give_up()\n",
                after="            pass\n",
            ),
        ),
        tests=_RELOAD,
    ),
    Bug(
        name="the_watchdog_hears_of_a_process_that_stands_still",
        breaks="A consumer whose poll loop hangs is never restarted, and its streams fall behind until somebody looks.",
        edits=(
            Edit(
                file="consumer/entrypoints/service_manager.py",
                before="if self._watchdog is not None and self._alive():\n",
                after="if self._watchdog is not None:\n",
            ),
        ),
        tests=_MANAGER,
    ),
    Bug(
        name="no_more_time_for_an_end_than_the_unit_says",
        breaks="A consumer with a long shutdown deadline is killed in the middle of batches that it may finish.",
        edits=(
            Edit(
                file="consumer/entrypoints/service_manager.py",
                before='        return ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * _MICROSECONDS)}"]\n',
                after='        return ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds)}"]\n',
            ),
        ),
        tests=_MANAGER,
    ),
    Bug(
        name="an_action_is_recorded_once_it_is_done",
        breaks="A command that breaks off leaves no trace of who began it, and one that can't be recorded is done.",
        edits=(
            Edit(
                file="consumer/service/actions.py",
                before="        self._log.add(action, ActionPhase.BEGUN)\n        try:\n            yield\n",
                after="        try:\n            yield\n            self._log.add(action, ActionPhase.BEGUN)\n",
            ),
        ),
        tests=_ACTIONS,
    ),
    Bug(
        name="a_rewind_leaves_no_trace",
        breaks="Nobody can tell who took rows out of the cold tier, and why.",
        edits=(
            Edit(
                file="consumer/entrypoints/cli/rewind.py",
                before='start_as_current_span("offload.rewind"), acting:\n',
                after='start_as_current_span("offload.rewind"):\n',
            ),
        ),
        tests=_ACTIONS,
    ),
    Bug(
        name="committers_may_change_the_record_of_actions",
        breaks="Whoever has an operator's password can take what was done with it out of the record.",
        edits=(
            Edit(
                file="ops/security/postgres/committer.sql",
                before="GRANT SELECT, INSERT ON offload_actions TO icehaul_committer;\n",
                after="GRANT SELECT, INSERT, UPDATE, DELETE ON offload_actions TO icehaul_committer;\n",
            ),
        ),
        tests=("tests/unit/postgres/test_rights.py",),
    ),
)
