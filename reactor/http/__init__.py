"""HTTP on the reactor: where the sockets of `core` meet the events of `sansio`."""
