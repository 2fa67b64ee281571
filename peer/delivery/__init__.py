"""Messages out and in: what is owed to whom, what came, and the truth about both, for whoever wants to know."""
