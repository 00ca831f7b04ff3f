"""The report of an audit: as text, as data, and as a page to hand on."""
