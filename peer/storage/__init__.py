"""What a node remembers: as types, in SQLite, or in memory for as long as the program runs."""
