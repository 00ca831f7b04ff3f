"""Which repository Ivy resolves from: as the machine is configured, else Ivy's own default (Maven Central)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from xml.sax.saxutils import quoteattr

_SETTINGS = """\
<ivysettings>
  <settings defaultResolver="mirror"/>
  <resolvers><ibiblio name="mirror" m2compatible="true" root={root}/></resolvers>
</ivysettings>
"""
_MIRRORS_OF_CENTRAL = {"*", "central", "external:*"}


def resolution_settings(work: Path) -> tuple[str, ...]:
    """Ivy's arguments: the user's Ivy settings, or settings for a mirror named in the user's Maven settings."""
    own = Path.home() / ".ivy2" / "ivysettings.xml"
    if own.exists():
        return ("-settings", str(own))
    mirror = maven_mirror(Path.home() / ".m2" / "settings.xml")
    if mirror is None:
        return ()
    settings = work / "ivysettings.xml"
    settings.write_text(_SETTINGS.format(root=quoteattr(mirror)), encoding="utf-8")
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
