"""Finding others: registering with trackers, and what they say of who is there."""
