"""The page of a day's audience: numbers from its files, words in English or Spanish, one HTML file without network."""
