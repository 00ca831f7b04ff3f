-- The columns that a stream's source had through time: rows at or after an instant were read and hashed with those of its
-- era, up to the next one. A stream that is older than this gets its first era with its next event.

ALTER TABLE offload_watermarks ADD COLUMN schemas jsonb NOT NULL DEFAULT '[]'
    CHECK (jsonb_typeof(schemas) = 'array');
