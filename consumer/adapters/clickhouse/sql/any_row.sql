-- Ends with the first row that is met; parts and granules outside of the window are not read.
SELECT 1
FROM $table
WHERE $window
LIMIT 1
