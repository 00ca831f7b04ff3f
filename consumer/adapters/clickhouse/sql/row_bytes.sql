(
    SELECT sum(data_uncompressed_bytes) / greatest(sum(rows), 1)
    FROM system.parts
    WHERE active AND database = {database:String} AND table = {table:String}
)
