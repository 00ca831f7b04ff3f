"""Makes, or renews, the automation that tells somebody of every run of icehaul's flow that is late or failed.

Usage: ``python notify.py BLOCK``, with a notification block of your Prefect, such as ``slack-webhook/icehaul``.
"""

from __future__ import annotations

import sys
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture, SendNotification
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

NAME = "icehaul is late or failed"
STATES = ("Late", "Failed", "Crashed", "TimedOut")
SUBJECT = "icehaul: {{ flow_run.name }} is {{ flow_run.state.name }}"
BODY = "{{ flow_run.state.message or 'It has not been started: is a worker running?' }}\n{{ flow_run|ui_url }}"


def automation(block: UUID) -> AutomationCore:
    """Return the automation that notifies by a block."""
    made = AutomationCore(
        name=NAME,
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in STATES},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": "icehaul"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=block, subject=SUBJECT, body=BODY)],
    )
    # An update sends only what was given by name; now everything is.
    return AutomationCore(**made.model_dump(exclude={"owner_resource"}))


def main(block: str) -> None:
    """Make the automation; one of the same name is renewed."""
    type_, _, name = block.partition("/")
    with get_client(sync_client=True) as client:
        try:
            found = client.read_block_document_by_name(name=name, block_type_slug=type_, include_secrets=False)
        except ObjectNotFound:
            sys.exit(
                f"there is no block {block!r} in Prefect; make it there (Blocks), or name one of `prefect block ls`"
            )
        wanted = automation(found.id)
        known = client.read_automations_by_name(NAME)
        if known:
            client.update_automation(known[0].id, wanted)
        else:
            client.create_automation(wanted)
    print(f"{NAME}: {block} is told")  # noqa: T201 - the script's result


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(str(__doc__))
    main(sys.argv[1])
