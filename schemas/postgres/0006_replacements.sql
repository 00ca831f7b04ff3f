-- Replacements: the rows of a window that is done are replaced by those that the hot tier holds now, on request.

-- How often the rows of the window had been replaced with this batch. What counts of a window is what was published with
-- its highest revision: the replacement itself, and supplements after it.
ALTER TABLE offload_batches ADD COLUMN revision integer NOT NULL DEFAULT 0 CHECK (revision >= 0);
ALTER TABLE offload_batches DROP CONSTRAINT a_supplement_has_a_base;
ALTER TABLE offload_batches ADD CONSTRAINT what_changes_a_window_has_a_base
    CHECK ((kind IN ('supplement', 'replace-window')) = (base_digest IS NOT NULL)
           AND (base_rows IS NULL) = (base_digest IS NULL));
ALTER TABLE offload_batches ADD CONSTRAINT a_replacement_has_a_revision CHECK (kind <> 'replace-window' OR revision > 0);

-- Rows of a file that are not the batch's own: they come from a data file that went, and belong to other windows.
ALTER TABLE offload_files ADD COLUMN kept boolean NOT NULL DEFAULT false;

DROP INDEX offload_batches_content;
CREATE INDEX offload_batches_content ON offload_batches (stream, lower, upper)
    WHERE status IN ('published', 'empty') AND kind IN ('window', 'supplement', 'replace-window');
