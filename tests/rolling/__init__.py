"""Rolling upgrades and rollbacks, with the code of earlier revisions beside that of this one."""
