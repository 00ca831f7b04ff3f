"""The console of one consumer process, as it is configured."""

from __future__ import annotations

from consumer.bootstrap import Application
from consumer.entrypoints.console.acting import Acting
from consumer.entrypoints.console.reading import Reading
from consumer.entrypoints.console.site import ConsoleSite


def console(application: Application) -> ConsoleSite:
    """Return the console; without ``consumer.console_token`` there is nothing in it that changes anything."""
    settings = application.configuration.consumer
    acting = None
    if settings.console_token is not None:
        acting = Acting(
            application.states,
            actions=application.actions,
            streams=application.streams,
            token=settings.console_token.get_secret_value(),
            hosts=settings.console_hosts,
        ).answer
    reading = Reading(application.viewing, actions=acting is not None)
    return ConsoleSite(
        reading=reading.answer, acting=acting, hosts={settings.http_host.lower(), *settings.console_hosts}
    )
