"""What a program that the studio runs may import: `fts_job`, of the standard library only."""
