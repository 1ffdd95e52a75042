-- Which checks of its goal's contract the attempt's answer failed, as bits; NULL where none was made.
ALTER TABLE attempts ADD COLUMN failed_checks INTEGER;
