concat(
        substring(hash, 1, 8), '-', substring(hash, 9, 4), '-5', substring(hash, 14, 3), '-',
        substring('89ab89ab89ab89ab', position('0123456789abcdef', substring(hash, 17, 1)), 1),
        substring(hash, 18, 3), '-', substring(hash, 21, 12))
