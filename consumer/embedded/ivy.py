"""Which repository Ivy resolves from: as the machine is configured, else Ivy's own default (Maven Central).

Ivy asks for no checksums: they come from where the files do, and take a request for each, while ``jars.lock`` has those
that count.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from xml.sax.saxutils import quoteattr

_SETTINGS = """\
<ivysettings>
  <property name="ivy.checksums" value=""/>
  <settings defaultResolver="maven"/>
  <resolvers><ibiblio name="maven" m2compatible="true"{root}/></resolvers>
</ivysettings>
"""
_MIRRORS_OF_CENTRAL = {"*", "central", "external:*"}


def resolution_settings(work: Path) -> tuple[str, ...]:
    """Ivy's arguments: the user's Ivy settings, or our own, with the mirror that the user's Maven settings name."""
    own = Path.home() / ".ivy2" / "ivysettings.xml"
    if own.exists():
        return ("-settings", str(own))
    mirror = maven_mirror(Path.home() / ".m2" / "settings.xml")
    settings = work / "ivysettings.xml"
    root = "" if mirror is None else f" root={quoteattr(mirror)}"
    settings.write_text(_SETTINGS.format(root=root), encoding="utf-8")
    return ("-settings", str(settings))


def maven_mirror(settings: Path) -> str | None:
    """The URL of the first mirror of Maven Central in a Maven settings file, if there is one."""
    try:
        root = ET.parse(settings).getroot()  # noqa: S314 - the user's own configuration
    except (OSError, ET.ParseError):
        return None
    for mirror in root.iterfind("{*}mirrors/{*}mirror"):
        covered = {part.strip() for part in mirror.findtext("{*}mirrorOf", "").split(",")}
        url = mirror.findtext("{*}url", "").strip()
        if url and covered & _MIRRORS_OF_CENTRAL and "!central" not in covered:
            return url
    return None
