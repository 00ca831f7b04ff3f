(
    SELECT sum(data_uncompressed_bytes) / greatest(sum(rows), 1)
    FROM $parts
    WHERE active AND database = {database:String} AND table = {table:String}
)
