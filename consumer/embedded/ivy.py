"""Which repository Ivy resolves from: as the machine is configured, else Ivy's own default (Maven Central).

What ``jars.lock`` has a checksum of needs none of the repository's, which take Ivy a request for each file; the lock
itself is made of files that agree with theirs.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from xml.sax.saxutils import quoteattr

_SETTINGS = """\
<ivysettings>
  <property name="ivy.checksums" value="{checksums}"/>
  <settings defaultResolver="maven"/>
  <resolvers><ibiblio name="maven" m2compatible="true"{root}/></resolvers>
</ivysettings>
"""
_CHECKSUMS = "sha1,md5"
"""What Ivy compares files with by itself."""
_MIRRORS_OF_CENTRAL = {"*", "central", "external:*"}


def resolution_settings(work: Path, *, checksums: bool) -> tuple[str, ...]:
    """Ivy's arguments: the user's Ivy settings, or our own, with the mirror that the user's Maven settings name.

    With ``checksums``, Ivy compares each file with the repository's, as far as our own settings are used.
    """
    own = Path.home() / ".ivy2" / "ivysettings.xml"
    if own.exists():
        return ("-settings", str(own))
    mirror = maven_mirror(Path.home() / ".m2" / "settings.xml")
    settings = work / "ivysettings.xml"
    root = "" if mirror is None else f" root={quoteattr(mirror)}"
    settings.write_text(_SETTINGS.format(root=root, checksums=_CHECKSUMS if checksums else ""), encoding="utf-8")
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
